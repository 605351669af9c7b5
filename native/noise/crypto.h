// The four primitives of Noise_IK_25519_ChaChaPoly_BLAKE2s over OpenSSL 3: X25519, BLAKE2s-256,
// HMAC and two-output HKDF over it, ChaCha20-Poly1305.
//
// Source: RFC 7748, RFC 7693, RFC 2104, RFC 8439, the Noise specification section 4.
// Errors: kBug means that OpenSSL could not do its work (out of memory, provider missing).
// Threads: free functions from any thread; an Aead belongs to one caller at a time.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

struct evp_cipher_ctx_st;

namespace es::noise {

constexpr size_t kKeyLen = 32;
constexpr size_t kTagLen = 16;
constexpr size_t kNonceLen = 12;

using Key = std::array<uint8_t, kKeyLen>;
using Nonce = std::array<uint8_t, kNonceLen>;

// The public half of a private key (which is clamped as RFC 7748 says).
Result<Key> x25519_public(const Key& private_key);

// The shared secret. Refuses a peer key that leads to the all-zero secret.
Result<Key> x25519(const Key& private_key, const Key& peer_public);

// BLAKE2s-256 over `first` and `second` joined.
Result<Key> blake2s(Bytes first, Bytes second = {});

// HMAC over BLAKE2s-256, of `first` and `second` joined.
Result<Key> hmac_blake2s(const Key& key, Bytes first, Bytes second = {});

// HKDF with an empty info and two outputs.
Result<std::pair<Key, Key>> hkdf2(const Key& chaining_key, Bytes input);

// ChaCha20-Poly1305 under one key. The caller never uses a nonce twice.
class Aead {
 public:
  static Result<Aead> create(const Key& key);

  Aead(Aead&&) noexcept = default;
  Aead& operator=(Aead&&) noexcept = default;

  // `sealed` holds exactly plain.size() + kTagLen bytes: ciphertext, then tag.
  Status seal(const Nonce& nonce, Bytes ad, Bytes plain, MutableBytes sealed);
  // `plain` holds exactly sealed.size() - kTagLen bytes; on an error its content means nothing.
  // May be in place: plain.data() == sealed.data().
  Status open(const Nonce& nonce, Bytes ad, Bytes sealed, MutableBytes plain);

 private:
  struct Free {
    void operator()(evp_cipher_ctx_st* ctx) const;
  };
  using Context = std::unique_ptr<evp_cipher_ctx_st, Free>;

  explicit Aead(Context context) : context_(std::move(context)) {}

  Context context_;  // for both directions: only the nonce is set anew
};

}  // namespace es::noise

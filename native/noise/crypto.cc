#include "native/noise/crypto.h"

#include <openssl/evp.h>

namespace es::noise {

namespace {

constexpr size_t kHashBlockLen = 64;
constexpr Error kProviderFailed = bug("a cryptographic primitive failed");

struct FreePkey {
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
};
struct FreePkeyCtx {
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
};
struct FreeMdCtx {
  void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
};
using Pkey = std::unique_ptr<EVP_PKEY, FreePkey>;
using PkeyCtx = std::unique_ptr<EVP_PKEY_CTX, FreePkeyCtx>;
using MdCtx = std::unique_ptr<EVP_MD_CTX, FreeMdCtx>;

// Fetched once: an implicit fetch in every call costs more than the hash itself. Never freed.
const EVP_MD* blake2s_md() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
  return md;
}
const EVP_CIPHER* chacha_cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return cipher;
}

bool update(EVP_MD_CTX* ctx, Bytes data) {
  return data.empty() || EVP_DigestUpdate(ctx, data.data(), data.size()) == 1;
}

// OpenSSL counts in int; every caller here stays far below.
int int_len(Bytes b) { return static_cast<int>(b.size()); }

}  // namespace

Result<Key> x25519_public(const Key& private_key) {
  const Pkey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.data(), kKeyLen));
  Key out{};
  size_t len = out.size();
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), out.data(), &len) != 1 || len != kKeyLen) {
    return kProviderFailed;
  }
  return out;
}

Result<Key> x25519(const Key& private_key, const Key& peer_public) {
  const Pkey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.data(), kKeyLen));
  const Pkey peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer_public.data(), kKeyLen));
  if (!key || !peer) return kProviderFailed;
  const PkeyCtx ctx(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!ctx || EVP_PKEY_derive_init(ctx.get()) != 1 ||
      EVP_PKEY_derive_set_peer(ctx.get(), peer.get()) != 1) {
    return kProviderFailed;
  }
  Key out{};
  size_t len = out.size();
  // OpenSSL itself fails on the all-zero secret; the comparison keeps that promise ours.
  const int derived = EVP_PKEY_derive(ctx.get(), out.data(), &len);
  if (derived != 1 || len != kKeyLen || equal_constant_time(out, Key{})) {
    return refuse("the peer's key is of low order");
  }
  return out;
}

Result<Key> blake2s(Bytes first, Bytes second) {
  const MdCtx ctx(EVP_MD_CTX_new());
  Key out{};
  if (!ctx || blake2s_md() == nullptr ||
      EVP_DigestInit_ex2(ctx.get(), blake2s_md(), nullptr) != 1 || !update(ctx.get(), first) ||
      !update(ctx.get(), second) || EVP_DigestFinal_ex(ctx.get(), out.data(), nullptr) != 1) {
    return kProviderFailed;
  }
  return out;
}

Result<Key> hmac_blake2s(const Key& key, Bytes first, Bytes second) {
  std::array<uint8_t, kHashBlockLen> pad{};
  const auto fill = [&](uint8_t with) {
    pad.fill(with);
    for (size_t i = 0; i < key.size(); ++i) pad[i] = static_cast<uint8_t>(key[i] ^ with);
  };
  const MdCtx ctx(EVP_MD_CTX_new());
  Key inner{};
  fill(0x36);
  const bool ok = ctx && blake2s_md() != nullptr &&
                  EVP_DigestInit_ex2(ctx.get(), blake2s_md(), nullptr) == 1 &&
                  update(ctx.get(), pad) && update(ctx.get(), first) && update(ctx.get(), second) &&
                  EVP_DigestFinal_ex(ctx.get(), inner.data(), nullptr) == 1;
  if (!ok) return kProviderFailed;
  fill(0x5c);
  auto out = blake2s(pad, inner);
  wipe(pad);
  return out;
}

Result<std::pair<Key, Key>> hkdf2(const Key& chaining_key, Bytes input) {
  constexpr std::array<uint8_t, 1> kOne{1};
  constexpr std::array<uint8_t, 1> kTwo{2};
  ES_TRY(Key prk, hmac_blake2s(chaining_key, input));
  ES_TRY(const Key first, hmac_blake2s(prk, kOne));
  ES_TRY(const Key second, hmac_blake2s(prk, first, kTwo));
  wipe(prk);
  return std::pair{first, second};
}

void Aead::Free::operator()(evp_cipher_ctx_st* ctx) const { EVP_CIPHER_CTX_free(ctx); }

// Keyed once: a record then only sets its nonce and direction.
Result<Aead> Aead::create(const Key& key) {
  Context context(EVP_CIPHER_CTX_new());
  if (!context || chacha_cipher() == nullptr ||
      EVP_EncryptInit_ex2(context.get(), chacha_cipher(), key.data(), nullptr, nullptr) != 1) {
    return kProviderFailed;
  }
  return Aead(std::move(context));
}

Status Aead::seal(const Nonce& nonce, Bytes ad, Bytes plain, MutableBytes sealed) {
  if (sealed.size() != plain.size() + kTagLen) return bug("the buffer has the wrong size");
  EVP_CIPHER_CTX* ctx = context_.get();
  int len = 0;
  uint8_t nothing = 0;
  const bool ok =
      EVP_EncryptInit_ex2(ctx, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
      (ad.empty() || EVP_EncryptUpdate(ctx, nullptr, &len, ad.data(), int_len(ad)) == 1) &&
      (plain.empty() ||
       EVP_EncryptUpdate(ctx, sealed.data(), &len, plain.data(), int_len(plain)) == 1) &&
      EVP_EncryptFinal_ex(ctx, &nothing, &len) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, kTagLen, sealed.last(kTagLen).data()) == 1;
  if (!ok) return kProviderFailed;
  return {};
}

Status Aead::open(const Nonce& nonce, Bytes ad, Bytes sealed, MutableBytes plain) {
  if (sealed.size() < kTagLen) return refuse("too short to hold a tag");
  if (plain.size() != sealed.size() - kTagLen) return bug("the buffer has the wrong size");
  const Bytes cipher = sealed.first(plain.size());
  std::array<uint8_t, kTagLen> tag;
  std::copy(sealed.end() - kTagLen, sealed.end(), tag.begin());
  EVP_CIPHER_CTX* ctx = context_.get();
  int len = 0;
  uint8_t nothing = 0;
  const bool ok =
      EVP_DecryptInit_ex2(ctx, nullptr, nullptr, nonce.data(), nullptr) == 1 &&
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, kTagLen, tag.data()) == 1 &&
      (ad.empty() || EVP_DecryptUpdate(ctx, nullptr, &len, ad.data(), int_len(ad)) == 1) &&
      (cipher.empty() ||
       EVP_DecryptUpdate(ctx, plain.data(), &len, cipher.data(), int_len(cipher)) == 1) &&
      EVP_DecryptFinal_ex(ctx, &nothing, &len) == 1;
  if (!ok) return refuse("the bytes do not authenticate");
  return {};
}

}  // namespace es::noise

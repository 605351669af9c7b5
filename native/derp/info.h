// The sealed JSON that DERP client and server greet each other with.
//
// Box: NaCl crypto_box (X25519, HSalsa20, XSalsa20-Poly1305) as libsodium has it: 24-byte nonce in
// the clear, then 16-byte tag and ciphertext. Client keys are node keys.
// JSON: Go's encoding/json rules: names match in any case, unknown fields are ignored, `null` is
// absent; another type than the field's is an error.
// Errors: kReconnect; what a peer may have done is not said to it. Threads: from any thread.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/derp/frames.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace es::derp {

using Nonce = std::array<uint8_t, kNonceLen>;

struct ClientInfo {
  std::string mesh_key{};  // 64 hex digits, or empty
  uint32_t version = 0;
  bool can_ack_pings = false;
  bool is_prober = false;
  std::string app_name{};
};

struct ServerInfo {
  uint32_t version = kProtocolVersion;
  uint64_t token_bucket_bytes_per_second = 0;  // 0: absent
  uint64_t token_bucket_bytes_burst = 0;
};

Result<Key> public_key(const Key& private_key);

// The key that seals and opens between two parties: one X25519 for both directions. Wiped when it
// dies.
class SharedBox {
 public:
  // Refuses a peer key of low order.
  static Result<SharedBox> create(const Key& own_private, const Key& peer_public);
  SharedBox(const SharedBox&) = default;
  SharedBox& operator=(const SharedBox&) = default;
  ~SharedBox();

  // Appends nonce and box.
  void seal(const Nonce& nonce, Bytes plain, std::vector<uint8_t>& out) const;
  // Takes nonce and box.
  Result<std::vector<uint8_t>> open(Bytes nonce_and_box) const;

 private:
  SharedBox() = default;
  Key key_{};
};

Result<ClientInfo> parse_client_info(std::string_view json);
Result<ServerInfo> parse_server_info(std::string_view json);
std::string format_client_info(const ClientInfo& info);
std::string format_server_info(const ServerInfo& info);

// Whole frames.
void append_client_info(const Key& client_public, const SharedBox& box, const Nonce& nonce,
                        const ClientInfo& info, std::vector<uint8_t>& out);
void append_server_info(const SharedBox& box, const Nonce& nonce, const ServerInfo& info,
                        std::vector<uint8_t>& out);

}  // namespace es::derp

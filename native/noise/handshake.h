// The ts2021 handshake: Noise IK between a client's machine key and the server's Noise key.
// Pure: ephemeral keys are arguments, bytes go in and out.
//
// Source: tailscale control/controlbase (unchanged from v1.34 to 1.104); the Noise specification,
// pattern IK without pre-shared key. The prologue names the version that the header carries, so a
// changed header byte breaks decryption.
//
// Initiation, client to server (in an HTTP header, so it has no stream framing of its own):
//   offset len  field
//   0      2    version: the client's capability version
//   2      1    type 1
//   3      2    payload length, 96
//   5      32   client ephemeral public key
//   37     48   machine public key, sealed
//   85     16   tag of the empty payload
// Response, server to client:
//   0      1    type 2
//   1      2    payload length, 48
//   3      32   server ephemeral public key
//   35     16   tag of the empty payload
// Error, server to client instead of the response, not authenticated:
//   0      1    type 3
//   1      2    text length
//   3      n    text
//
// Strictness: exact lengths. Every version number is accepted; who is too old is the caller's
// decision, after the handshake.
// Threads: free functions from any thread.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/noise/crypto.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace es::noise {

enum class MessageType : uint8_t { kInitiation = 1, kResponse = 2, kError = 3, kRecord = 4 };

constexpr size_t kInitiationHeaderLen = 5;
constexpr size_t kInitiationLen = 101;
constexpr size_t kHeaderLen = 3;
constexpr size_t kResponseLen = 51;
constexpr size_t kMaxErrorTextLen = 65535;
static_assert(kInitiationLen == kInitiationHeaderLen + kKeyLen + (kKeyLen + kTagLen) + kTagLen);
static_assert(kResponseLen == kHeaderLen + kKeyLen + kTagLen);

// What both sides hold afterwards.
struct Session {
  uint16_t version = 0;  // the client's capability version
  Key peer_static{};     // the server sees the machine key, the client the server's Noise key
  Key handshake_hash{};  // channel binding
  Key send_key{};
  Key receive_key{};
};

// Why a server refuses, and whether it says so: a malformed message gets an error frame with the
// literal `error.what`, a message that does not decrypt gets a closed connection and no bytes.
struct HandshakeError {
  enum class Reply : uint8_t { kErrorFrame, kNothing };
  Error error;
  Reply reply = Reply::kNothing;
};

struct Accepted {
  Session session;
  std::array<uint8_t, kResponseLen> response;
};

// The server's side. `ephemeral_private` is 32 fresh random bytes, never used twice.
Result<Accepted, HandshakeError> respond(const Key& static_private, const Key& ephemeral_private,
                                         Bytes initiation);

// Appends an error frame; a text above kMaxErrorTextLen is cut.
void append_error_frame(std::string_view text, std::vector<uint8_t>& out);

// The client's side: for tests, and for the load tool that plays clients.
class Initiator {
 public:
  // `server_public` is what GET /key published.
  static Result<Initiator> create(const Key& machine_private, const Key& server_public,
                                  const Key& ephemeral_private, uint16_t version);

  const std::array<uint8_t, kInitiationLen>& initiation() const { return initiation_; }

  // How long the frame is that begins with `prefix`: nullopt until kHeaderLen bytes are there.
  // Refuses what is neither a response of the right length nor an error.
  static Result<std::optional<size_t>> frame_len(Bytes prefix);

  // Takes the whole frame. An error frame is refused with "the server sent an error";
  // error_text() shows it.
  Result<Session> finish(Bytes frame) const;

  // The text of an error frame, as the server wrote it: not to be trusted.
  static std::string_view error_text(Bytes frame);

 private:
  Initiator() = default;

  Session session_;
  Key hash_{};
  Key chaining_key_{};
  Key machine_private_{};
  Key ephemeral_private_{};
  std::array<uint8_t, kInitiationLen> initiation_{};
};

}  // namespace es::noise

// The optional payload that a ts2021 server puts in front of HTTP/2, inside the records.
//
//   offset len  field
//   0      5    ff ff ff 'T' 'S'
//   5      4    length of the JSON, big-endian
//   9      n    {"nodeKeyChallenge":"chalpub:<64 hex>"}
//
// Source: tailscale control/ts2021 (clients), controlhttp (server). The magic cannot begin an
// HTTP/2 frame that a client accepts, so a client that sees other bytes takes all nine as the
// server's first frame header: sending the payload is optional.
// Limits: a client refuses more than 10 MiB; our reader takes the same bound as an argument.
// Threads: values.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "native/noise/crypto.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace es::noise {

constexpr std::array<uint8_t, 5> kEarlyPayloadMagic{0xff, 0xff, 0xff, 'T', 'S'};
constexpr size_t kEarlyPayloadHeaderLen = 9;
constexpr uint32_t kMaxEarlyPayloadLen = 10U << 20U;
static_assert(kEarlyPayloadHeaderLen == kEarlyPayloadMagic.size() + sizeof(uint32_t));

// Appends magic, length and JSON for a challenge key.
void append_early_payload(const Key& challenge_public, std::vector<uint8_t>& out);

// The client's half: takes the decrypted stream in pieces and parts the payload from what follows.
class EarlyPayloadReader {
 public:
  explicit EarlyPayloadReader(uint32_t max_len = kMaxEarlyPayloadLen) : max_len_(max_len) {}

  // Appends to `rest` every byte of `stream` that belongs to HTTP/2.
  Status read(Bytes stream, std::vector<uint8_t>& rest);

  // True when all later bytes are HTTP/2.
  bool done() const { return state_ == State::kDone; }
  // The JSON, if the server sent any.
  const std::optional<std::string>& json() const { return json_; }

 private:
  enum class State : uint8_t { kHeader, kBody, kDone, kFailed };

  uint32_t max_len_;
  State state_ = State::kHeader;
  uint32_t body_len_ = 0;
  std::vector<uint8_t> buffer_;
  std::optional<std::string> json_;
};

}  // namespace es::noise

#include "native/noise/early_payload.h"

#include "common/base/hex.h"

#include <algorithm>
#include <string_view>

namespace es::noise {

namespace {
constexpr std::string_view kJsonBegin = R"({"nodeKeyChallenge":"chalpub:)";
constexpr std::string_view kJsonEnd = R"("})";
}  // namespace

void append_early_payload(const Key& challenge_public, std::vector<uint8_t>& out) {
  constexpr size_t kJsonLen = kJsonBegin.size() + 2 * kKeyLen + kJsonEnd.size();
  static_assert(kJsonLen == 95);
  const size_t begin = out.size();
  out.resize(begin + kEarlyPayloadHeaderLen + kJsonLen);
  ByteWriter writer(MutableBytes(out).subspan(begin));
  writer.bytes(kEarlyPayloadMagic);
  writer.u32be(kJsonLen);
  writer.text(kJsonBegin);
  hex_encode(challenge_public, writer);
  writer.text(kJsonEnd);
}

Status EarlyPayloadReader::read(Bytes stream, std::vector<uint8_t>& rest) {
  while (!stream.empty()) {
    if (state_ == State::kFailed) return reconnect("the early payload is too long");
    if (state_ == State::kDone) {
      rest.insert(rest.end(), stream.begin(), stream.end());
      return {};
    }
    const size_t want = state_ == State::kHeader ? kEarlyPayloadHeaderLen : body_len_;
    const size_t take = std::min(want - buffer_.size(), stream.size());
    buffer_.insert(buffer_.end(), stream.begin(),
                   stream.begin() + static_cast<std::ptrdiff_t>(take));
    stream = stream.subspan(take);
    if (buffer_.size() < want) return {};
    if (state_ == State::kBody) {
      json_.emplace(buffer_.begin(), buffer_.end());
      state_ = State::kDone;
    } else if (!std::equal(kEarlyPayloadMagic.begin(), kEarlyPayloadMagic.end(), buffer_.begin())) {
      rest.insert(rest.end(), buffer_.begin(), buffer_.end());
      state_ = State::kDone;
    } else {
      body_len_ = ByteReader(Bytes(buffer_).subspan(kEarlyPayloadMagic.size())).u32be().value();
      state_ = body_len_ > max_len_ ? State::kFailed : State::kBody;
      if (state_ == State::kFailed) return reconnect("the early payload is too long");
      if (body_len_ == 0) {
        json_.emplace();
        state_ = State::kDone;
      }
    }
    buffer_.clear();
  }
  return {};
}

}  // namespace es::noise

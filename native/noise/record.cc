#include "native/noise/record.h"

#include "native/noise/handshake.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace es::noise {

namespace {

constexpr uint64_t kCounterEnd = std::numeric_limits<uint64_t>::max();

Nonce record_nonce(uint64_t counter) {
  Nonce nonce;
  ByteWriter writer(nonce);
  writer.u32be(0);
  writer.u64be(counter);
  return nonce;
}

// The whole frame's length, from its first three bytes.
Result<size_t> frame_len(Bytes header) {
  ByteReader reader(header);
  if (reader.u8().value() != static_cast<uint8_t>(MessageType::kRecord)) {
    return reconnect("not a transport record");
  }
  const size_t sealed_len = reader.u16be().value();
  if (sealed_len > kMaxSealedLen) return reconnect("the transport record is too long");
  if (sealed_len < kTagLen) return reconnect("the transport record is too short");
  return kRecordHeaderLen + sealed_len;
}

}  // namespace

Result<RecordSender> RecordSender::create(const Key& key, uint64_t counter) {
  ES_TRY(Aead aead, Aead::create(key));
  return RecordSender(std::move(aead), counter);
}

Status RecordSender::seal(Bytes plaintext, std::vector<uint8_t>& out) {
  const size_t records = (plaintext.size() + kMaxRecordPlaintext - 1) / kMaxRecordPlaintext;
  out.reserve(out.size() + plaintext.size() + records * (kRecordHeaderLen + kTagLen));
  while (!plaintext.empty()) {
    const size_t len = std::min(plaintext.size(), kMaxRecordPlaintext);
    ES_CHECK(seal_one(plaintext.first(len), out));
    plaintext = plaintext.subspan(len);
  }
  return {};
}

Status RecordSender::seal_one(Bytes plaintext, std::vector<uint8_t>& out) {
  if (plaintext.size() > kMaxRecordPlaintext) return bug("the plaintext does not fit a record");
  if (counter_ == kCounterEnd) return reconnect("the record counter ran out");
  const size_t sealed_len = plaintext.size() + kTagLen;
  const size_t begin = out.size();
  out.resize(begin + kRecordHeaderLen + sealed_len);
  const MutableBytes frame = MutableBytes(out).subspan(begin);
  ByteWriter writer(frame.first(kRecordHeaderLen));
  writer.u8(static_cast<uint8_t>(MessageType::kRecord));
  writer.u16be(static_cast<uint16_t>(sealed_len));
  const Status sealed =
      aead_.seal(record_nonce(counter_), {}, plaintext, frame.subspan(kRecordHeaderLen));
  if (!sealed.ok()) {
    out.resize(begin);
    counter_ = kCounterEnd;  // never risk the same nonce again
    return sealed;
  }
  ++counter_;
  return {};
}

Result<RecordReceiver> RecordReceiver::create(const Key& key, uint64_t counter) {
  ES_TRY(Aead aead, Aead::create(key));
  return RecordReceiver(std::move(aead), counter);
}

Status RecordReceiver::open(Bytes stream, std::vector<uint8_t>& out) {
  if (failed_) return *failed_;
  while (!stream.empty()) {
    if (partial_len_ == 0 && stream.size() >= kRecordHeaderLen) {
      // The common case: a whole frame lies in the input and needs no copy.
      const auto len = frame_len(stream);
      if (!len.ok()) return fail(len.error().what);
      if (stream.size() >= *len) {
        ES_CHECK(open_one(stream.first(*len), out));
        stream = stream.subspan(*len);
        continue;
      }
    }
    if (partial_.empty()) partial_.resize(kMaxRecordLen);
    size_t want = kRecordHeaderLen;
    if (partial_len_ >= kRecordHeaderLen) {
      const auto len = frame_len(partial_);
      if (!len.ok()) return fail(len.error().what);
      want = *len;
    }
    const size_t take = std::min(want - partial_len_, stream.size());
    std::copy_n(stream.begin(), take, partial_.begin() + static_cast<std::ptrdiff_t>(partial_len_));
    partial_len_ += take;
    stream = stream.subspan(take);
    if (partial_len_ == want && want > kRecordHeaderLen) {
      ES_CHECK(open_one(Bytes(partial_).first(want), out));
      partial_len_ = 0;
    }
  }
  // Three bytes are enough to know a bad header: do not wait for more.
  if (partial_len_ == kRecordHeaderLen) {
    const auto len = frame_len(partial_);
    if (!len.ok()) return fail(len.error().what);
  }
  return {};
}

Status RecordReceiver::open_one(Bytes frame, std::vector<uint8_t>& out) {
  if (counter_ == kCounterEnd) return fail("the record counter ran out");
  const Bytes sealed = frame.subspan(kRecordHeaderLen);
  const size_t begin = out.size();
  out.resize(begin + sealed.size() - kTagLen);
  const Status opened =
      aead_.open(record_nonce(counter_), {}, sealed, MutableBytes(out).subspan(begin));
  if (!opened.ok()) {
    out.resize(begin);
    return fail("the transport record does not authenticate");
  }
  ++counter_;
  return {};
}

Status RecordReceiver::fail(std::string_view what) {
  failed_ = reconnect(what);
  return *failed_;
}

}  // namespace es::noise

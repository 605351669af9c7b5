#include "native/noise/handshake.h"

#include <algorithm>

namespace es::noise {

namespace {

constexpr std::string_view kProtocolName = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view kProloguePrefix = "Tailscale Control Protocol v";
constexpr uint16_t kInitiationPayloadLen = kInitiationLen - kInitiationHeaderLen;
constexpr uint16_t kResponsePayloadLen = kResponseLen - kHeaderLen;
constexpr Nonce kZeroNonce{};

// The specification's SymmetricState. Every key of a handshake seals at most one message here, so
// its counter is always zero and there is no CipherState to carry along.
class Symmetric {
 public:
  static Result<Symmetric> start(uint16_t version, const Key& server_public) {
    ES_TRY(const Key name, blake2s(as_bytes(kProtocolName)));
    Symmetric s(name, name);
    std::array<uint8_t, kProloguePrefix.size() + 5> prologue;
    ByteWriter writer(prologue);
    writer.text(kProloguePrefix);
    writer.decimal(version);
    ES_CHECK(s.mix_hash(writer.written()));
    ES_CHECK(s.mix_hash(server_public));
    return s;
  }
  Symmetric(const Key& hash, const Key& chaining_key) : hash_(hash), chaining_key_(chaining_key) {}

  const Key& hash() const { return hash_; }
  const Key& chaining_key() const { return chaining_key_; }

  Status mix_hash(Bytes data) {
    ES_TRY(hash_, blake2s(hash_, data));
    return {};
  }
  // The one-shot key that this mix yields.
  Result<Key> mix_dh(const Key& private_key, const Key& public_key) {
    ES_TRY(Key shared, x25519(private_key, public_key));
    ES_TRY(const auto keys, hkdf2(chaining_key_, shared));
    wipe(shared);
    chaining_key_ = keys.first;
    return keys.second;
  }
  Status seal(const Key& key, Bytes plain, MutableBytes sealed) {
    ES_TRY(Aead aead, Aead::create(key));
    ES_CHECK(aead.seal(kZeroNonce, hash_, plain, sealed));
    return mix_hash(sealed);
  }
  Status open(const Key& key, Bytes sealed, MutableBytes plain) {
    ES_TRY(Aead aead, Aead::create(key));
    ES_CHECK(aead.open(kZeroNonce, hash_, sealed, plain));
    return mix_hash(sealed);
  }
  // Client to server, server to client.
  Result<std::pair<Key, Key>> split() const { return hkdf2(chaining_key_, {}); }

 private:
  Key hash_;
  Key chaining_key_;
};

Key key_at(Bytes message, size_t offset) {
  Key key;
  std::copy_n(message.begin() + static_cast<std::ptrdiff_t>(offset), kKeyLen, key.begin());
  return key;
}

// Steps 1 to 6: reads the initiation and learns the machine key.
Result<Symmetric> read_initiation(const Key& static_private, Bytes message, Session& session) {
  const Key client_ephemeral = key_at(message, 5);
  const Bytes sealed_machine = message.subspan(37, kKeyLen + kTagLen);
  const Bytes tag = message.subspan(85, kTagLen);
  ES_TRY(const Key static_public, x25519_public(static_private));
  ES_TRY(Symmetric s, Symmetric::start(session.version, static_public));
  ES_CHECK(s.mix_hash(client_ephemeral));
  ES_TRY(const Key es_key, s.mix_dh(static_private, client_ephemeral));
  ES_CHECK(s.open(es_key, sealed_machine, session.peer_static));
  ES_TRY(const Key ss_key, s.mix_dh(static_private, session.peer_static));
  ES_CHECK(s.open(ss_key, tag, {}));
  return s;
}

// Steps 7 to 11: writes the response and splits.
Status write_response(Symmetric& s, const Key& ephemeral_private, const Key& client_ephemeral,
                      Accepted& out) {
  ES_TRY(const Key ephemeral_public, x25519_public(ephemeral_private));
  ES_CHECK(s.mix_hash(ephemeral_public));
  ES_TRY([[maybe_unused]] const Key ee_key, s.mix_dh(ephemeral_private, client_ephemeral));
  ES_TRY(const Key se_key, s.mix_dh(ephemeral_private, out.session.peer_static));
  std::array<uint8_t, kTagLen> tag;
  ES_CHECK(s.seal(se_key, {}, tag));
  ByteWriter writer(out.response);
  writer.u8(static_cast<uint8_t>(MessageType::kResponse));
  writer.u16be(kResponsePayloadLen);
  writer.bytes(ephemeral_public);
  writer.bytes(tag);
  ES_TRY(const auto keys, s.split());
  out.session.receive_key = keys.first;
  out.session.send_key = keys.second;
  out.session.handshake_hash = s.hash();
  return {};
}

HandshakeError malformed(std::string_view text) {
  return {refuse(text), HandshakeError::Reply::kErrorFrame};
}
HandshakeError silent(const Error& error) { return {error, HandshakeError::Reply::kNothing}; }

}  // namespace

Result<Accepted, HandshakeError> respond(const Key& static_private, const Key& ephemeral_private,
                                         Bytes initiation) {
  if (initiation.size() != kInitiationLen) return malformed("wrong handshake initiation size");
  ByteReader reader(initiation);
  const uint16_t version = reader.u16be().value();
  const uint8_t type = reader.u8().value();
  const uint16_t payload_len = reader.u16be().value();
  if (type != static_cast<uint8_t>(MessageType::kInitiation)) {
    return malformed("unexpected handshake message type");
  }
  if (payload_len != kInitiationPayloadLen) return malformed("wrong handshake initiation length");

  Accepted accepted;
  accepted.session.version = version;
  auto state = read_initiation(static_private, initiation, accepted.session);
  if (!state.ok()) return silent(state.error());
  const Status written = write_response(*state, ephemeral_private, key_at(initiation, 5), accepted);
  if (!written.ok()) return silent(written.error());
  return accepted;
}

void append_error_frame(std::string_view text, std::vector<uint8_t>& out) {
  const std::string_view cut = text.substr(0, kMaxErrorTextLen);
  const size_t begin = out.size();
  out.resize(begin + kHeaderLen + cut.size());
  ByteWriter writer(MutableBytes(out).subspan(begin));
  writer.u8(static_cast<uint8_t>(MessageType::kError));
  writer.u16be(static_cast<uint16_t>(cut.size()));
  writer.text(cut);
}

Result<Initiator> Initiator::create(const Key& machine_private, const Key& server_public,
                                    const Key& ephemeral_private, uint16_t version) {
  Initiator out;
  out.session_.version = version;
  out.session_.peer_static = server_public;
  out.machine_private_ = machine_private;
  out.ephemeral_private_ = ephemeral_private;
  ES_TRY(const Key machine_public, x25519_public(machine_private));
  ES_TRY(const Key ephemeral_public, x25519_public(ephemeral_private));
  ES_TRY(Symmetric s, Symmetric::start(version, server_public));
  ES_CHECK(s.mix_hash(ephemeral_public));
  ES_TRY(const Key es_key, s.mix_dh(ephemeral_private, server_public));
  std::array<uint8_t, kKeyLen + kTagLen> sealed_machine;
  ES_CHECK(s.seal(es_key, machine_public, sealed_machine));
  ES_TRY(const Key ss_key, s.mix_dh(machine_private, server_public));
  std::array<uint8_t, kTagLen> tag;
  ES_CHECK(s.seal(ss_key, {}, tag));

  ByteWriter writer(out.initiation_);
  writer.u16be(version);
  writer.u8(static_cast<uint8_t>(MessageType::kInitiation));
  writer.u16be(kInitiationPayloadLen);
  writer.bytes(ephemeral_public);
  writer.bytes(sealed_machine);
  writer.bytes(tag);
  out.hash_ = s.hash();
  out.chaining_key_ = s.chaining_key();
  return out;
}

Result<std::optional<size_t>> Initiator::frame_len(Bytes prefix) {
  ByteReader reader(prefix);
  const auto type = reader.u8();
  const auto len = reader.u16be();
  if (!type || !len) return std::optional<size_t>();
  if (*type == static_cast<uint8_t>(MessageType::kError)) {
    return std::optional(kHeaderLen + size_t{*len});
  }
  if (*type != static_cast<uint8_t>(MessageType::kResponse)) {
    return refuse("unexpected response message type");
  }
  if (*len != kResponsePayloadLen) return refuse("wrong length of the handshake response");
  return std::optional(kResponseLen);
}

Result<Session> Initiator::finish(Bytes frame) const {
  ES_TRY(const std::optional<size_t> len, frame_len(frame));
  if (!len || *len != frame.size()) return refuse("wrong length of the handshake response");
  if (frame[0] == static_cast<uint8_t>(MessageType::kError)) {
    return refuse("the server sent an error");
  }
  const Key server_ephemeral = key_at(frame, kHeaderLen);
  Symmetric s(hash_, chaining_key_);
  ES_CHECK(s.mix_hash(server_ephemeral));
  ES_TRY([[maybe_unused]] const Key ee_key, s.mix_dh(ephemeral_private_, server_ephemeral));
  ES_TRY(const Key se_key, s.mix_dh(machine_private_, server_ephemeral));
  ES_CHECK(s.open(se_key, frame.subspan(kHeaderLen + kKeyLen, kTagLen), {}));
  ES_TRY(const auto keys, s.split());
  Session session = session_;
  session.send_key = keys.first;
  session.receive_key = keys.second;
  session.handshake_hash = s.hash();
  return session;
}

std::string_view Initiator::error_text(Bytes frame) {
  if (frame.size() < kHeaderLen || frame[0] != static_cast<uint8_t>(MessageType::kError)) return {};
  return as_text(frame.subspan(kHeaderLen));
}

}  // namespace es::noise

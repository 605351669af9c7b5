#include "native/stun/message.h"

#include <algorithm>
#include <string_view>

namespace es::stun {

namespace {

constexpr uint16_t kBindingRequest = 0x0001;
constexpr uint16_t kBindingSuccess = 0x0101;
constexpr uint32_t kMagicCookie = 0x2112a442;
constexpr uint16_t kSoftware = 0x8022;
constexpr uint16_t kFingerprint = 0x8028;
constexpr uint16_t kXorMappedAddress = 0x0020;
constexpr uint8_t kFamilyV4 = 1;
constexpr uint8_t kFamilyV6 = 2;
constexpr size_t kAttributeHeaderLen = 4;
constexpr uint32_t kFingerprintXor = 0x5354554e;  // "STUN"
constexpr std::string_view kSoftwareName = "tailnode";
constexpr std::array<uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

consteval std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? 0xedb88320U ^ (c >> 1U) : c >> 1U;
    table[i] = c;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

// What the address is XORed with: the cookie, then the transaction ID.
std::array<uint8_t, 16> xor_mask(const TxId& tx_id) {
  std::array<uint8_t, 16> mask;
  ByteWriter writer(mask);
  writer.u32be(kMagicCookie);
  writer.bytes(tx_id);
  return mask;
}

struct Attribute {
  uint16_t type;
  Bytes value;
};

// The next attribute; nullopt when it is not well formed, its padding included.
std::optional<Attribute> next_attribute(ByteReader& reader) {
  const auto type = reader.u16be();
  const auto len = reader.u16be();
  if (!type || !len) return std::nullopt;
  const auto value = reader.bytes(*len);
  if (!value || !reader.bytes((4 - *len % 4) % 4)) return std::nullopt;
  return Attribute{*type, *value};
}

std::optional<TxId> read_header(ByteReader& reader, uint16_t wanted_type) {
  const auto type = reader.u16be();
  const auto len = reader.u16be();
  const auto cookie = reader.u32be();
  const auto tx_id = reader.bytes(TxId{}.size());
  if (!type || !len || !cookie || !tx_id) return std::nullopt;
  if (*type != wanted_type || *cookie != kMagicCookie) return std::nullopt;
  TxId out;
  std::copy(tx_id->begin(), tx_id->end(), out.begin());
  return out;
}

std::optional<Endpoint> read_xor_address(const TxId& tx_id, Bytes value) {
  ByteReader reader(value);
  const auto zero_and_family = reader.u16be();
  const auto port = reader.u16be();
  if (!zero_and_family || !port) return std::nullopt;
  const auto mask = xor_mask(tx_id);
  Endpoint out;
  const size_t skip = *zero_and_family == kFamilyV4 ? kV4Prefix.size() : 0;
  if (*zero_and_family != kFamilyV4 && *zero_and_family != kFamilyV6) return std::nullopt;
  const auto address = reader.bytes(out.ip.size() - skip);
  if (!address || !reader.empty()) return std::nullopt;
  std::copy_n(kV4Prefix.begin(), skip, out.ip.begin());
  for (size_t i = 0; i < address->size(); ++i) {
    out.ip[skip + i] = static_cast<uint8_t>((*address)[i] ^ mask[i]);
  }
  out.port = static_cast<uint16_t>(*port ^ (kMagicCookie >> 16U));
  return out;
}

}  // namespace

uint32_t crc32(Bytes data) {
  uint32_t crc = 0xffffffffU;
  for (const uint8_t byte : data) crc = kCrcTable[(crc ^ byte) & 0xffU] ^ (crc >> 8U);
  return ~crc;
}

Endpoint Endpoint::v4(const std::array<uint8_t, 4>& address, uint16_t port) {
  Endpoint out;
  std::copy(kV4Prefix.begin(), kV4Prefix.end(), out.ip.begin());
  std::copy(address.begin(), address.end(), out.ip.begin() + kV4Prefix.size());
  out.port = port;
  return out;
}

bool Endpoint::is_v4() const { return std::equal(kV4Prefix.begin(), kV4Prefix.end(), ip.begin()); }

std::optional<TxId> parse_request(Bytes datagram) {
  ByteReader reader(datagram);
  const auto tx_id = read_header(reader, kBindingRequest);
  if (!tx_id) return std::nullopt;
  bool named = false;
  bool last_is_fingerprint = false;
  uint32_t fingerprint = 0;
  while (!reader.empty()) {
    const auto attribute = next_attribute(reader);
    if (!attribute) return std::nullopt;
    if (attribute->type == kSoftware && as_text(attribute->value) == kSoftwareName) named = true;
    last_is_fingerprint = attribute->type == kFingerprint && attribute->value.size() == 4;
    if (last_is_fingerprint) fingerprint = ByteReader(attribute->value).u32be().value();
  }
  if (!named || !last_is_fingerprint) return std::nullopt;
  const Bytes covered = datagram.first(datagram.size() - kAttributeHeaderLen - 4);
  if ((crc32(covered) ^ kFingerprintXor) != fingerprint) return std::nullopt;
  return tx_id;
}

void write_response(const TxId& tx_id, const Endpoint& source, ByteWriter& out) {
  const size_t skip = source.is_v4() ? kV4Prefix.size() : 0;
  const size_t address_len = source.ip.size() - skip;
  const auto value_len = static_cast<uint16_t>(4 + address_len);
  const auto mask = xor_mask(tx_id);
  out.u16be(kBindingSuccess);
  out.u16be(static_cast<uint16_t>(kAttributeHeaderLen + value_len));
  out.u32be(kMagicCookie);
  out.bytes(tx_id);
  out.u16be(kXorMappedAddress);
  out.u16be(value_len);
  out.u8(0);
  out.u8(source.is_v4() ? kFamilyV4 : kFamilyV6);
  out.u16be(static_cast<uint16_t>(source.port ^ (kMagicCookie >> 16U)));
  for (size_t i = 0; i < address_len; ++i) {
    out.u8(static_cast<uint8_t>(source.ip[skip + i] ^ mask[i]));
  }
}

void write_request(const TxId& tx_id, ByteWriter& out) {
  std::array<uint8_t, kRequestLen - kAttributeHeaderLen - 4> head;
  ByteWriter writer(head);
  writer.u16be(kBindingRequest);
  writer.u16be(kRequestLen - kHeaderLen);
  writer.u32be(kMagicCookie);
  writer.bytes(tx_id);
  writer.u16be(kSoftware);
  writer.u16be(static_cast<uint16_t>(kSoftwareName.size()));
  writer.text(kSoftwareName);
  out.bytes(head);
  out.u16be(kFingerprint);
  out.u16be(4);
  out.u32be(crc32(head) ^ kFingerprintXor);
}

std::optional<Endpoint> parse_response(const TxId& tx_id, Bytes datagram) {
  ByteReader reader(datagram);
  if (read_header(reader, kBindingSuccess) != tx_id) return std::nullopt;
  while (!reader.empty()) {
    const auto attribute = next_attribute(reader);
    if (!attribute) return std::nullopt;
    if (attribute->type == kXorMappedAddress) return read_xor_address(tx_id, attribute->value);
  }
  return std::nullopt;
}

}  // namespace es::stun

#include "common/base/ip_address.h"

#include "common/base/hex.h"

#include <algorithm>

namespace es {
namespace {

// Four decimal octets without leading zeros.
bool parse_ipv4(std::string_view text, uint8_t* out) {
  for (int octet = 0; octet < 4; ++octet) {
    if (octet > 0) {
      if (text.empty() || text.front() != '.') return false;
      text.remove_prefix(1);
    }
    uint32_t value = 0;
    size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
      if (digits == 3) return false;
      value = value * 10 + static_cast<uint32_t>(text[digits] - '0');
      ++digits;
    }
    if (digits == 0 || value > 255 || (digits > 1 && text.front() == '0')) return false;
    out[octet] = static_cast<uint8_t>(value);
    text.remove_prefix(digits);
  }
  return text.empty();
}

// One to four hex digits at the front of `text`, or nothing taken.
std::optional<uint16_t> take_group(std::string_view& text) {
  uint32_t value = 0;
  size_t digits = 0;
  while (digits < text.size() && hex_digit(text[digits]) >= 0) {
    if (digits == 4) return std::nullopt;
    value = value << 4 | static_cast<uint32_t>(hex_digit(text[digits]));
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return static_cast<uint16_t>(value);
}

bool parse_ipv6(std::string_view text, std::array<uint8_t, 16>& out) {
  std::array<uint8_t, 16> bytes{};
  size_t len = 0;
  std::optional<size_t> gap;  // where "::" stood
  if (text.starts_with("::")) {
    gap = 0;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    if (len == 16) return false;
    const size_t end = text.find(':');
    if (end == std::string_view::npos && text.find('.') != std::string_view::npos) {
      if (len > 12 || !parse_ipv4(text, bytes.data() + len)) return false;
      len += 4;
      break;
    }
    const auto group = take_group(text);
    if (!group) return false;
    bytes[len++] = static_cast<uint8_t>(*group >> 8);
    bytes[len++] = static_cast<uint8_t>(*group);
    if (text.empty()) break;
    if (text.front() != ':') return false;
    text.remove_prefix(1);
    if (text.starts_with(':')) {
      if (gap) return false;
      gap = len;
      text.remove_prefix(1);
    } else if (text.empty()) {
      return false;
    }
  }
  if (!gap) {
    if (len != 16) return false;
  } else {
    // "::" stands for at least one group.
    if (len > 14) return false;
    std::copy_backward(bytes.begin() + static_cast<std::ptrdiff_t>(*gap),
                       bytes.begin() + static_cast<std::ptrdiff_t>(len), bytes.end());
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(*gap),
              bytes.end() - static_cast<std::ptrdiff_t>(len - *gap), uint8_t{0});
  }
  out = bytes;
  return true;
}

bool is_mapped_ipv4(const std::array<uint8_t, 16>& b) {
  return std::all_of(b.begin(), b.begin() + 10, [](uint8_t v) { return v == 0; }) &&
         b[10] == 0xff && b[11] == 0xff;
}

void write_group(uint16_t group, ByteWriter& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const unsigned digit = group >> shift & 0xFU;
    started = started || digit != 0 || shift == 0;
    if (started) out.u8(static_cast<uint8_t>(kDigits[digit]));
  }
}

}  // namespace

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  IpAddress address;
  if (text.size() <= 15 && parse_ipv4(text, address.bytes.data())) return address;
  // The longest spelling: six full groups and an IPv4 tail.
  if (text.size() > 45 || !parse_ipv6(text, address.bytes)) return std::nullopt;
  if (is_mapped_ipv4(address.bytes)) {
    std::copy_n(address.bytes.begin() + 12, 4, address.bytes.begin());
    std::fill(address.bytes.begin() + 4, address.bytes.end(), uint8_t{0});
    return address;
  }
  address.family = IpAddress::Family::kIpv6;
  return address;
}

void write_ip_address(const IpAddress& address, ByteWriter& out) {
  const auto& b = address.bytes;
  if (address.family == IpAddress::Family::kIpv4) {
    for (size_t i = 0; i < 4; ++i) {
      if (i > 0) out.u8('.');
      out.decimal(b[i]);
    }
    return;
  }
  std::array<uint16_t, 8> groups{};
  for (size_t i = 0; i < 8; ++i) {
    groups[i] = static_cast<uint16_t>(b[2 * i] << 8 | b[2 * i + 1]);
  }
  // RFC 5952: the longest run of two or more zero groups, the first among equals.
  size_t best = 8;
  size_t best_len = 1;
  for (size_t i = 0; i < 8;) {
    size_t len = 0;
    while (i + len < 8 && groups[i + len] == 0) ++len;
    if (len > best_len) {
      best = i;
      best_len = len;
    }
    i += len == 0 ? 1 : len;
  }
  for (size_t i = 0; i < 8;) {
    if (i == best) {
      out.text("::");
      i += best_len;
      continue;
    }
    if (i > 0 && i != best + best_len) out.u8(':');
    write_group(groups[i], out);
    ++i;
  }
}

bool is_canonical_ip_address(std::string_view text) {
  const auto address = parse_ip_address(text);
  if (!address) return false;
  std::array<uint8_t, kMaxIpAddressText> buffer;
  ByteWriter out(buffer);
  write_ip_address(*address, out);
  return out.ok() && as_text(out.written()) == text;
}

}  // namespace es

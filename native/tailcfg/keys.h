// Key texts of the control protocol: "nodekey:" and 64 hexadecimal digits, and its siblings.
// A type for each prefix, so that a machine key cannot be passed where a node key belongs.
//
// Source: tailscale types/key (v1.80 to 1.104), text forms.
// Strictness: the exact prefix in lower case and exactly 64 digits of either case; nothing else is
// a key, least of all the empty string. The all-zero key is a legal text and means "no key".
// Threads: values.
#pragma once

#include "common/base/bytes.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace es::tailcfg {

constexpr size_t kKeyLen = 32;
using RawKey = std::array<uint8_t, kKeyLen>;

namespace detail {
std::optional<RawKey> parse_key(std::string_view prefix, std::string_view text);
std::string format_key(std::string_view prefix, const RawKey& raw);
}  // namespace detail

template <class Kind>
class Key {
 public:
  static constexpr std::string_view kPrefix = Kind::kPrefix;
  static constexpr size_t kTextLen = kPrefix.size() + 2 * kKeyLen;

  constexpr Key() = default;  // the zero key
  constexpr explicit Key(const RawKey& raw) : raw_(raw) {}

  static std::optional<Key> parse(std::string_view text) {
    const auto raw = detail::parse_key(kPrefix, text);
    if (!raw) return std::nullopt;
    return Key(*raw);
  }
  std::string text() const { return detail::format_key(kPrefix, raw_); }

  constexpr bool is_zero() const { return raw_ == RawKey{}; }
  const RawKey& raw() const { return raw_; }
  Bytes bytes() const { return raw_; }

  friend bool operator==(const Key&, const Key&) = default;
  friend auto operator<=>(const Key&, const Key&) = default;

 private:
  RawKey raw_{};
};

namespace kind {
struct Machine {
  static constexpr std::string_view kPrefix = "mkey:";
};
struct Node {
  static constexpr std::string_view kPrefix = "nodekey:";
};
struct Disco {
  static constexpr std::string_view kPrefix = "discokey:";
};
struct Challenge {
  static constexpr std::string_view kPrefix = "chalpub:";
};
struct Lock {
  static constexpr std::string_view kPrefix = "nlpub:";
};
struct Private {
  static constexpr std::string_view kPrefix = "privkey:";
};
}  // namespace kind

using MachineKey = Key<kind::Machine>;      // Curve25519; the client's Noise static key
using NodeKey = Key<kind::Node>;            // Curve25519; WireGuard and DERP
using DiscoKey = Key<kind::Disco>;          // Curve25519
using ChallengeKey = Key<kind::Challenge>;  // Curve25519; early payload
using LockKey = Key<kind::Lock>;            // Ed25519; tailnet lock

// A private key, as state files hold it (machine and node keys share the text form). Wiped when it
// dies; not comparable and not hashable, so that it does not end up in a table by accident.
class PrivateKey {
 public:
  static constexpr std::string_view kPrefix = kind::Private::kPrefix;

  explicit PrivateKey(const RawKey& raw) : raw_(raw) {}
  PrivateKey(const PrivateKey&) = default;
  PrivateKey& operator=(const PrivateKey&) = default;
  ~PrivateKey() { wipe(raw_); }

  // Refuses the zero key too: there is no use for it.
  static std::optional<PrivateKey> parse(std::string_view text);
  std::string text() const { return detail::format_key(kPrefix, raw_); }
  const RawKey& raw() const { return raw_; }

 private:
  RawKey raw_;
};

}  // namespace es::tailcfg

// Keys are uniformly distributed unless a peer chose them; a table that a peer can fill needs a
// keyed hash of its own.
template <class Kind>
struct std::hash<es::tailcfg::Key<Kind>> {
  size_t operator()(const es::tailcfg::Key<Kind>& key) const noexcept {
    size_t h;
    std::memcpy(&h, key.raw().data(), sizeof h);
    return h;
  }
};

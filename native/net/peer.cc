#include "native/net/peer.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/in.h>
#include <utility>

namespace es::net {
namespace {

Peer ipv4_peer(const uint8_t* bytes) {
  Peer peer;
  peer.kind = Peer::Kind::kIpv4;
  for (size_t i = 0; i < 4; ++i) peer.group = peer.group << 8 | bytes[i];
  // Set apart from the IPv6 groups: ::/32 is not in use.
  std::array<char, INET_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET, bytes, text.data(), text.size());
  peer.address = text.data();
  return peer;
}

}  // namespace

Peer peer_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return ipv4_peer(reinterpret_cast<const uint8_t*>(&v4.sin_addr));
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  const uint8_t* bytes = v6.sin6_addr.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return ipv4_peer(bytes + 12);
  Peer peer;
  peer.kind = Peer::Kind::kIpv6;
  for (size_t i = 0; i < 8; ++i) peer.group = peer.group << 8 | bytes[i];
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, bytes, text.data(), text.size());
  peer.address = text.data();
  return peer;
}

ConnectionSlot::ConnectionSlot(std::shared_ptr<ConnectionLedger> ledger,
                               std::optional<uint64_t> group)
    : ledger_(std::move(ledger)), group_(group) {}

ConnectionSlot::ConnectionSlot(ConnectionSlot&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)), group_(other.group_) {}

ConnectionSlot::~ConnectionSlot() {
  if (ledger_) ledger_->release(group_);
}

ConnectionLedger::Answer ConnectionLedger::admit(const Peer& peer, Counting counting,
                                                 uint32_t max_in_all, uint32_t max_for_address) {
  const std::lock_guard lock(mutex_);
  if (total_ >= max_in_all) return {std::nullopt, Full::kInAll};
  std::optional<uint64_t> group;
  if (counting == Counting::kByAddress) {
    group = peer.group;
    uint32_t& num = by_group_[peer.group];
    if (num >= max_for_address) return {std::nullopt, Full::kForAddress};
    ++num;
  }
  ++total_;
  return {ConnectionSlot(shared_from_this(), group), Full::kInAll};
}

size_t ConnectionLedger::size() const {
  const std::lock_guard lock(mutex_);
  return total_;
}

void ConnectionLedger::release(const std::optional<uint64_t>& group) {
  const std::lock_guard lock(mutex_);
  --total_;
  if (!group) return;
  const auto it = by_group_.find(*group);
  if (--it->second == 0) by_group_.erase(it);
}

}  // namespace es::net

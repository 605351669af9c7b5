// Who is at the other end of an accepted socket, and how many connections it has.
//
// Threads: a ConnectionLedger may be used from any; a ConnectionSlot belongs to one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unordered_map>

namespace es::net {

struct Peer {
  std::string address;  // canonical text; an IPv4-mapped address is IPv4; "" for a unix socket
  // What its connections count under: the IPv4 address, or the first 64 bits of the IPv6 address.
  uint64_t group = 0;
  enum class Kind { kIpv4, kIpv6, kLocal } kind = Kind::kLocal;
};

Peer peer_of(const sockaddr_storage& address);

class ConnectionLedger;

// One counted connection; gives its place back when destroyed.
class ConnectionSlot {
 public:
  ConnectionSlot(std::shared_ptr<ConnectionLedger> ledger, std::optional<uint64_t> group);
  ConnectionSlot(ConnectionSlot&& other) noexcept;
  ConnectionSlot& operator=(ConnectionSlot&&) = delete;
  ~ConnectionSlot();

 private:
  std::shared_ptr<ConnectionLedger> ledger_;
  std::optional<uint64_t> group_;
};

class ConnectionLedger : public std::enable_shared_from_this<ConnectionLedger> {
 public:
  enum class Counting { kByAddress, kInAllOnly };
  enum class Full { kInAll, kForAddress };

  struct Answer {
    std::optional<ConnectionSlot> slot;
    Full full = Full::kInAll;  // without a slot: why
  };

  Answer admit(const Peer& peer, Counting counting, uint32_t max_in_all, uint32_t max_for_address);
  size_t size() const;

 private:
  friend class ConnectionSlot;
  void release(const std::optional<uint64_t>& group);

  mutable std::mutex mutex_;
  size_t total_ = 0;
  std::unordered_map<uint64_t, uint32_t> by_group_;
};

}  // namespace es::net

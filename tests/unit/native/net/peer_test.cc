#include "native/net/peer.h"

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace es::net {
namespace {

Peer peer(const char* text) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
    storage.ss_family = AF_INET;
  } else {
    storage.ss_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, text, &reinterpret_cast<sockaddr_in6&>(storage).sin6_addr) == 1);
  }
  return peer_of(storage);
}

TEST_CASE("IPv4 peers are told apart by address, IPv6 peers by /64") {
  CHECK(peer("192.0.2.1").address == "192.0.2.1");
  CHECK(peer("192.0.2.1").group != peer("192.0.2.2").group);
  CHECK(peer("::ffff:192.0.2.1").address == "192.0.2.1");
  CHECK(peer("::ffff:192.0.2.1").group == peer("192.0.2.1").group);
  CHECK(peer("2001:db8::1").group == peer("2001:db8::ffff:0:0:2").group);
  CHECK(peer("2001:db8::1").group != peer("2001:db8:0:1::1").group);
  CHECK(peer_of({}).kind == Peer::Kind::kLocal);
}

TEST_CASE("places are counted in all and by address, and come back") {
  using Counting = ConnectionLedger::Counting;
  const auto ledger = std::make_shared<ConnectionLedger>();
  const Peer a = peer("192.0.2.1");
  const Peer b = peer("192.0.2.2");
  auto one = ledger->admit(a, Counting::kByAddress, 3, 2);
  auto two = ledger->admit(a, Counting::kByAddress, 3, 2);
  REQUIRE(one.slot);
  REQUIRE(two.slot);
  const auto refused = ledger->admit(a, Counting::kByAddress, 3, 2);
  CHECK_FALSE(refused.slot);
  CHECK(refused.full == ConnectionLedger::Full::kForAddress);
  CHECK(ledger->admit(a, Counting::kInAllOnly, 3, 2).slot);
  auto three = ledger->admit(b, Counting::kByAddress, 3, 2);
  REQUIRE(three.slot);
  CHECK(ledger->admit(b, Counting::kByAddress, 3, 2).full == ConnectionLedger::Full::kInAll);
  CHECK(ledger->size() == 3);
  one.slot.reset();
  CHECK(ledger->size() == 2);
  CHECK(ledger->admit(a, Counting::kByAddress, 3, 2).slot);
}

}  // namespace
}  // namespace es::net

// Lease messages and saved states: accepting means that encoding again gives the same bytes, and no
// sequence of requests makes the authority lend more than the limit.
#include "common/limit/lease.h"
#include "common/limit/lease_authority.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace {

using namespace es::limit;

void require(bool ok) {
  if (!ok) std::abort();
}

bool same(es::Bytes a, es::Bytes b) { return es::as_text(a) == es::as_text(b); }

void check_messages(es::Bytes data) {
  if (const auto request = decode_lease_request(data); request.ok()) {
    require(same(encode(*request), data));
  }
  if (const auto reply = decode_lease_reply(data); reply.ok()) {
    require(same(encode(*reply), data));
  }
}

void check_saved(es::Bytes data) {
  auto loaded = LeaseAuthority::load({}, {}, es::wall_time_ms(0), data);
  if (!loaded.ok()) return;
  std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
  es::ByteWriter out(buffer);
  loaded->save(out);
  require(out.ok());
  const uint32_t counted = loaded->counted(es::wall_time_ms(1));
  const LeaseReply reply = loaded->handle({1, 0, 0, 0, 1}, es::wall_time_ms(1));
  require(counted >= Limit{}.permits() ? !reply.granted()
                                       : counted + reply.permits <= Limit{}.permits());
}

// The input as a list of requests, at the same moment: nothing expires. What isolates report to
// have granted on their own may exceed the limit; then nothing more is lent, and the state can be
// saved.
void check_sequence(es::Bytes data) {
  auto authority = LeaseAuthority::fresh({}, {}, es::wall_time_ms(0));
  while (data.size() >= kLeaseRequestLen) {
    if (const auto request = decode_lease_request(data.first(kLeaseRequestLen)); request.ok()) {
      const LeaseReply reply = authority->handle(*request, es::wall_time_ms(0));
      require(decode_lease_reply(encode(reply)).ok());
      require(!reply.granted() || authority->counted(es::wall_time_ms(0)) <= Limit{}.permits());
    }
    data = data.subspan(kLeaseRequestLen);
  }
  std::vector<uint8_t> buffer(LeaseAuthority::kMaxSavedLen);
  es::ByteWriter out(buffer);
  authority->save(out);
  require(LeaseAuthority::load({}, {}, es::wall_time_ms(0), out.written()).ok());
}

void check_table(es::Bytes data) {
  static std::vector<uint8_t> memory(LeaseTable::kMinMemory);
  std::fill(memory.begin(), memory.end(), uint8_t{0});
  auto table = LeaseTable::create({}, memory, {1, 2});
  (void)table->ask(kUnknownClient, es::wall_time_ms(0));
  if (table->on_reply(kUnknownClient, es::wall_time_ms(0), data).ok()) {
    require(decode_lease_reply(data).ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const es::Bytes bytes(data, size);
  check_messages(bytes);
  check_saved(bytes);
  check_sequence(bytes);
  check_table(bytes);
  return 0;
}

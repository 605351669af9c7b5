#include "common/gate/rate_limit_fields.h"

namespace es::gate {

void write_rate_limit_policy(const limit::Limit& limit, ByteWriter& out) {
  out.text("\"default\";q=");
  out.decimal(limit.permits());
  out.text(";w=");
  out.decimal(static_cast<uint64_t>(retry_after_seconds(limit.window).count()));
}

void write_rate_limit(uint32_t remaining, Seconds until_more, ByteWriter& out) {
  out.text("\"default\";r=");
  out.decimal(remaining);
  out.text(";t=");
  out.decimal(static_cast<uint64_t>(until_more.count()));
}

}  // namespace es::gate

// What the host needs to know once: lists of field names, header sets, prepared refusals.
//
// Text: a line for each entry, words divided by tabs, first what it is:
//   setting  name value          origin, origin_timeout_ms, limiter_timeout_ms, jwks_url
//   keep     name                response fields of the origin that may go back
//   send     name value          fields that every request to the origin carries
//   route    index name set      how answers on this route are hardened
//   set      index name value    a field of a header set
//   refusal  index status name body
//   refused  index name value    a field of this refusal besides its header set (-1: of each)
//   terse    name value          a field of a refusal without a body
#pragma once

#include "common/base/bytes.h"
#include "edge/config.h"

namespace es::edge {

void write_tables(const Settings& settings, ByteWriter& out);

}  // namespace es::edge

#include "common/gate/hardened_mark.h"

#include "common/base/hex.h"
#include "common/http/hardening.h"

namespace es::gate {

void write_hardened_mark(const token::AnswerProof& proof, ByteWriter& out) {
  std::array<uint8_t, 4> revision;
  ByteWriter(revision).u32be(http::hardening_revision());
  hex_encode(revision, out);
  out.u8('.');
  hex_encode(proof, out);
}

}  // namespace es::gate

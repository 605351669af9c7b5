// Targets, hosts and header fields: what the gate accepts must hold what its headers promise.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/http/fields.h"
#include "common/http/target.h"

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

// Input: the target, a line feed, then "name:value" lines.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace es::http;
  const std::string_view text = es::as_text({data, size});
  const std::string_view target = text.substr(0, text.find('\n'));
  if (check_target(target, Limits{}.max_target) == Refusal::kNone) {
    require(target.front() == '/' && !target.starts_with("//"));
    for (const char c : target) require(c > 0x20 && c < 0x7f);
    require(path_of(target).find("/../") == std::string_view::npos);
    require(target.find("%00") == std::string_view::npos);
  }
  if (is_valid_host(target)) require(target.find_first_of(", /@\\?#") == std::string_view::npos);

  std::vector<Field> fields;
  std::string_view rest = text.substr(target.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size());
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    fields.push_back({line.substr(0, colon), line.substr(colon + 1)});
  }
  const FieldFacts facts = check_fields(fields, Method::kPost, Limits{});
  if (facts.refusal == Refusal::kNone) {
    const auto count = [&](std::string_view name) {
      int n = 0;
      for (const Field& f : fields) n += equal_ignoring_case(f.name, name) ? 1 : 0;
      return n;
    };
    require(count("content-length") + count("transfer-encoding") <= 1);
    require(count("host") <= 1);
    for (const Field& f : fields) {
      for (const char c : f.value) require((c >= 0x20 && c != 0x7f) || c == '\t' || c < 0);
    }
  }
  return 0;
}

#include "native/policy/problem.h"

#include "common/base/json_text.h"

#include <utility>

namespace es::policy {

void Problems::add(Position at, std::string text) {
  if (kept_.size() >= kMaxKept) {
    ++dropped_;
    return;
  }
  kept_.push_back({at, std::move(text)});
}

std::string Problems::text() const {
  std::string out;
  for (const Problem& p : kept_) {
    if (!out.empty()) out += '\n';
    if (p.at.line != 0) {
      out += "line " + std::to_string(p.at.line) + ", column " + std::to_string(p.at.column) + ": ";
    }
    out += p.text;
  }
  if (dropped_ != 0) out += "\nand " + std::to_string(dropped_) + " more";
  return out;
}

std::string quoted(std::string_view text) {
  constexpr size_t kMaxQuoted = 200;
  std::string out;
  append_json_string(out, text.substr(0, kMaxQuoted));
  if (text.size() > kMaxQuoted) out += "...";
  return out;
}

}  // namespace es::policy

#include "native/net/head_scanner.h"

namespace es::net {

HeadScanner::State HeadScanner::scan(std::string_view bytes) {
  for (;;) {
    const size_t end = bytes.find('\n', looked_);
    if (end == std::string_view::npos) {
      looked_ = bytes.size();
      return State::kNeedMore;
    }
    const std::string_view line = bytes.substr(line_start_, end - line_start_);
    if (line.empty() || line.back() != '\r') return State::kMalformed;
    const std::string_view text = line.substr(0, line.size() - 1);
    if (text.find('\r') != std::string_view::npos || text.find('\0') != std::string_view::npos) {
      return State::kMalformed;
    }
    const bool first = line_start_ == 0;
    line_start_ = looked_ = end + 1;
    if (first) request_line_len_ = end + 1;
    if (text.empty()) return first ? State::kMalformed : State::kComplete;
    if (text[0] == ' ' || text[0] == '\t') return State::kMalformed;
  }
}

}  // namespace es::net

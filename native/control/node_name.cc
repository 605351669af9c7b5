#include "native/control/node_name.h"

namespace es::control {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string label_of(std::string_view hostname) {
  std::string label;
  for (char c : hostname) {
    if (label.size() == kMaxLabelLen) break;
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (is_letter_or_digit(c)) {
      label.push_back(c);
    } else if (!label.empty() && label.back() != '-') {
      label.push_back('-');
    }
  }
  while (!label.empty() && label.back() == '-') label.pop_back();
  return label.empty() ? "node" : label;
}

Status check_label(std::string_view label) {
  if (label.empty() || label.size() > kMaxLabelLen) {
    return refuse("a node name has 1 to 63 characters");
  }
  for (const char c : label) {
    if (!is_letter_or_digit(c) && c != '-') {
      return refuse("a node name has lower-case letters, digits and '-' only");
    }
  }
  if (label.front() == '-' || label.back() == '-') {
    return refuse("a node name neither begins nor ends with '-'");
  }
  return {};
}

std::string NodeNames::claim(std::string_view wanted) {
  std::string name(wanted);
  for (size_t n = 1; !taken_.insert(name).second; ++n) {
    const std::string suffix = "-" + std::to_string(n);
    name = std::string(wanted.substr(0, kMaxLabelLen - suffix.size())) + suffix;
  }
  return name;
}

bool NodeNames::take(std::string_view label) { return taken_.insert(std::string(label)).second; }

void NodeNames::release(std::string_view label) { taken_.erase(std::string(label)); }

}  // namespace es::control

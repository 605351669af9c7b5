#include "native/cli/output.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace es::cli {
namespace {

// Code points; good enough for names, which are seldom of double width.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string dump(const Json& data, int indent) {
  return data.dump(indent, '\t', false, Json::error_handler_t::replace);
}

void write_yaml(const Json& data, size_t depth, std::string& out);

// After "key:" or "-": a scalar on the same line, or a block below.
void write_yaml_value(const Json& value, size_t depth, bool in_list, std::string& out) {
  if (value.is_structured() && !value.empty()) {
    if (in_list && value.is_object()) {
      // "- key: value": the first key stands behind the dash.
      std::string block;
      write_yaml(value, depth, block);
      out += " " + block.substr(2 * depth);
    } else {
      out += "\n";
      write_yaml(value, depth, out);
    }
    return;
  }
  // JSON's scalars, strings in quotes included, are YAML's.
  out += " " + dump(value, -1) + "\n";
}

void write_yaml(const Json& data, size_t depth, std::string& out) {
  const std::string indent(2 * depth, ' ');
  if (data.is_object() && !data.empty()) {
    for (const auto& [key, value] : data.items()) {
      out += indent + key + ":";
      write_yaml_value(value, depth + 1, false, out);
    }
  } else if (data.is_array() && !data.empty()) {
    for (const Json& item : data) {
      out += indent + "-";
      write_yaml_value(item, depth + 1, true, out);
    }
  } else {
    out += indent + dump(data, -1) + "\n";
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F in UTF-8: terminals take some of them as the beginning of a command.
    const bool c1 =
        byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) ++i;
    out += byte < 0x20 || byte == 0x7f || c1 ? '?' : text[i];
  }
  return out;
}

std::string render_table(const std::vector<std::string>& header,
                         const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells{header};
  for (const auto& row : rows) {
    cells.emplace_back();
    for (const std::string& cell : row) cells.back().push_back(printable(cell));
  }
  std::vector<size_t> widths(header.size(), 0);
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out += std::string(widths[i] - width(row[i]), ' ') + " | ";
    }
    // An empty last cell would leave a blank behind.
    while (out.ends_with(' ')) out.pop_back();
    out += '\n';
  }
  return out;
}

std::string render_data(const Json& data, Format format) {
  if (format == Format::kYaml) {
    std::string out;
    write_yaml(data, 0, out);
    return out;
  }
  return dump(data, format == Format::kJson ? 1 : -1) + "\n";
}

}  // namespace es::cli

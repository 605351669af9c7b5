#include "native/cli/file_text.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>

namespace es::cli {
namespace {

Result<FileText, std::string> read_all(std::istream& in, size_t max_bytes) {
  FileText out;
  std::array<char, 16384> part;
  while (in.read(part.data(), part.size()) || in.gcount() > 0) {
    out.text.append(part.data(), static_cast<size_t>(in.gcount()));
    if (out.text.size() > max_bytes) {
      return "is larger than " + std::to_string(max_bytes / 1024) + " KiB";
    }
  }
  if (in.bad()) return std::string("cannot be read");
  return out;
}

}  // namespace

Result<FileText, std::string> read_file_text(const std::string& path, size_t max_bytes) {
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (status.type() == std::filesystem::file_type::not_found) {
    return std::string("cannot be found");
  }
  if (failed) return "cannot be reached: " + failed.message();
  if (std::filesystem::is_directory(status)) return std::string("is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot be opened: " + std::generic_category().message(errno);
  return read_all(file, max_bytes);
}

Result<FileText, std::string> read_policy_text(const std::string& path) {
  auto file = path == "-" ? read_all(std::cin, kMaxPolicyFileBytes)
                          : read_file_text(path, kMaxPolicyFileBytes);
  if (!file.ok()) return path + " " + file.error();
  return file;
}

}  // namespace es::cli

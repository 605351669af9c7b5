// A file that a person wrote, read whole: a configuration, a policy, a map of relays.
#pragma once

#include "common/base/result.h"

#include <cstddef>
#include <string>

namespace es::cli {

struct FileText {
  std::string text;
};

// The largest policy file; what reads policies has a smaller limit, and says so.
inline constexpr size_t kMaxPolicyFileBytes = 16 * 1024 * 1024;

// The error belongs behind the path: "cannot be found".
Result<FileText, std::string> read_file_text(const std::string& path, size_t max_bytes);
// Also standard input, as "-". The error begins with the path.
Result<FileText, std::string> read_policy_text(const std::string& path);

}  // namespace es::cli

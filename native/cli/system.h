// This machine as serve sees it: clocks, random bytes, and the secrets that it keeps in files.
//
// Threads: any.
#pragma once

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "native/tailcfg/keys.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace es::cli {

WallTime wall_now();
int64_t monotonic_us();

// Fills `out` from the kernel; ends the process if the kernel has none to give.
void fill_random(MutableBytes out);

// The key in `path`, as "privkey:" and 64 hexadecimal digits. A file that does not exist is made,
// with a fresh key, permission 0600, and its folder (0700) if need be; it is complete or absent,
// even after a crash. A file that others may read, or that holds anything else, is an error with
// the path in its text, behind the name of the configuration's key for it.
Result<tailcfg::PrivateKey, std::string> load_or_create_private_key(const std::string& path,
                                                                    std::string_view key_name);

struct Secret {
  std::string text;
};

// The one line in `path`, without white space around it; at most 4 KiB.
Result<Secret, std::string> read_secret_file(const std::string& path);

// Raises the soft limit of open files to the hard one; returns what holds now.
uint64_t raise_open_file_limit();

}  // namespace es::cli

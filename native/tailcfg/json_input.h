// Reading JSON that a peer sent: bounded depth, no exceptions, and members with the right type or
// none. Internal to rooms that decode requests.
//
// Follows Go's encoding/json where clients depend on it: absent and null are the same; the last of
// duplicate names wins. Names are matched exactly, as clients write them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace es::tailcfg {

inline constexpr int kMaxJsonDepth = 32;

// The object that `text` is; nullopt when it is anything else, broken, or deeper than
// kMaxJsonDepth.
std::optional<nlohmann::json> parse_json_object(std::string_view text);

// The member of that name and type, or the zero value.
std::string text_member(const nlohmann::json& object, const char* name);
int64_t int_member(const nlohmann::json& object, const char* name);
bool bool_member(const nlohmann::json& object, const char* name);
// At most `max` texts of a list; others and what is no text are passed over.
std::vector<std::string> texts_member(const nlohmann::json& object, const char* name, size_t max);

}  // namespace es::tailcfg

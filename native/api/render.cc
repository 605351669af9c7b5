#include "native/api/render.h"

#include "common/base/rfc3339.h"
#include "common/token/token.h"
#include "native/control/names.h"

#include <array>

namespace es::api {
namespace {

void append_member(std::string& out, std::string_view name, std::string_view text) {
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(out, text);
}

void append_flag(std::string& out, std::string_view name, bool flag) {
  out += ",\"";
  out += name;
  out += flag ? "\":true" : "\":false";
}

void append_time(std::string& out, std::string_view name, WallTime t) {
  out += ",\"";
  out += name;
  out += "\":\"";
  append_rfc3339(out, t);
  out += '"';
}

void append_optional_time(std::string& out, std::string_view name,
                          const std::optional<WallTime>& t) {
  if (t) {
    append_time(out, name, *t);
  } else {
    out += ",\"";
    out += name;
    out += "\":null";
  }
}

void append_id(std::string& out, uint64_t id) {
  out += "\"id\":\"";
  out += std::to_string(id);
  out += '"';
}

std::string masked(token::TokenKind kind, std::string_view prefix) {
  token::Token key;
  key.kind = kind;
  key.id = prefix;
  std::array<uint8_t, token::kMaxTokenLen> buffer{};
  ByteWriter out(buffer);
  token::write_masked(key, out);
  return std::string(as_text(out.written()));
}

void append_escape(std::string& out, uint8_t c) {
  constexpr char kDigits[] = "0123456789abcdef";
  out += "\\u00";
  out += kDigits[c >> 4];
  out += kDigits[c & 15];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text[0];
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
      text.remove_prefix(1);
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      append_escape(out, static_cast<uint8_t>(c));
      text.remove_prefix(1);
    } else if (static_cast<uint8_t>(c) < 0x80) {
      out += c;
      text.remove_prefix(1);
    } else {
      const std::string_view before = text;
      if (control::take_code_point(text)) {
        out += before.substr(0, before.size() - text.size());
      } else {
        out += "\xEF\xBF\xBD";
        text.remove_prefix(1);
      }
    }
  }
  out += '"';
}

std::string shown_name(const control::User& user) {
  if (!user.name.empty()) return user.name;
  if (!user.email.empty()) return user.email;
  if (!user.provider_identifier.empty()) return user.provider_identifier;
  return std::to_string(user.id);
}

void append_user(std::string& out, const control::User& user) {
  out += '{';
  append_id(out, user.id);
  append_member(out, "name", shown_name(user));
  append_time(out, "createdAt", user.created_at);
  append_member(out, "displayName", user.display_name);
  append_member(out, "email", user.email);
  append_member(out, "providerId", user.provider_identifier);
  append_member(out, "provider", user.provider);
  append_member(out, "profilePicUrl", user.profile_pic_url);
  out += '}';
}

void append_pre_auth_key(std::string& out, const control::OwnedPreAuthKey& owned,
                         std::string_view text) {
  const control::PreAuthKey& key = *owned.key;
  out += "{\"user\":";
  if (owned.user != nullptr) {
    append_user(out, *owned.user);
  } else {
    out += "null";
  }
  out += ',';
  append_id(out, key.id);
  append_member(out, "key",
                text.empty() ? masked(token::TokenKind::kAuth, key.prefix) : std::string(text));
  append_flag(out, "reusable", key.reusable);
  append_flag(out, "ephemeral", key.ephemeral);
  append_flag(out, "used", key.used);
  append_time(out, "expiration", key.expiration.value_or(kZeroTime));
  append_time(out, "createdAt", key.created_at);
  out += ",\"aclTags\":[";
  for (size_t i = 0; i < key.tags.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, key.tags[i]);
  }
  out += "]}";
}

void append_api_key(std::string& out, const control::ApiKey& key) {
  out += '{';
  append_id(out, key.id);
  append_member(out, "prefix", masked(token::TokenKind::kApi, key.prefix));
  append_optional_time(out, "expiration", key.expiration);
  append_time(out, "createdAt", key.created_at);
  append_optional_time(out, "lastSeen", key.last_seen);
  out += '}';
}

}  // namespace es::api

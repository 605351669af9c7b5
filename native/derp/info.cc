#include "native/derp/info.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <sodium.h>

namespace es::derp {

namespace {

static_assert(crypto_box_NONCEBYTES == kNonceLen);
static_assert(crypto_box_MACBYTES == kBoxOverhead);
static_assert(crypto_box_PUBLICKEYBYTES == kKeyLen && crypto_box_SECRETKEYBYTES == kKeyLen);
static_assert(crypto_box_BEFORENMBYTES == kKeyLen);

using Json = nlohmann::json;
constexpr Error kBadInfo = reconnect("the greeting's JSON is not valid");

bool sodium_ready() {
  static const bool ready = sodium_init() >= 0;
  return ready;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

// Each takes a field of the right type, leaves the target alone for null, and is false otherwise.
bool take(const Json& value, std::string& out) {
  if (value.is_string()) out = value.get<std::string>();
  return value.is_string() || value.is_null();
}
bool take(const Json& value, bool& out) {
  if (value.is_boolean()) out = value.get<bool>();
  return value.is_boolean() || value.is_null();
}
template <class Number>
bool take_number(const Json& value, Number& out) {
  if (value.is_null()) return true;
  // A version below zero is a Go int, and as wrong as one that is too large.
  if (!value.is_number_unsigned()) return false;
  const auto n = value.get<uint64_t>();
  if (n > std::numeric_limits<Number>::max()) return false;
  out = static_cast<Number>(n);
  return true;
}

// nullopt-like: a discarded value when the text is no JSON object.
Json parse_object(std::string_view text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return Json(Json::value_t::discarded);
  return value;
}

}  // namespace

Result<Key> public_key(const Key& private_key) {
  Key out;
  if (!sodium_ready() || crypto_scalarmult_base(out.data(), private_key.data()) != 0) {
    return bug("libsodium failed");
  }
  return out;
}

Result<SharedBox> SharedBox::create(const Key& own_private, const Key& peer_public) {
  if (!sodium_ready()) return bug("libsodium failed");
  SharedBox box;
  if (crypto_box_beforenm(box.key_.data(), peer_public.data(), own_private.data()) != 0) {
    return reconnect("the peer's key is of low order");
  }
  return box;
}

SharedBox::~SharedBox() { wipe(key_); }

void SharedBox::seal(const Nonce& nonce, Bytes plain, std::vector<uint8_t>& out) const {
  out.insert(out.end(), nonce.begin(), nonce.end());
  const size_t begin = out.size();
  out.resize(begin + plain.size() + kBoxOverhead);
  crypto_box_easy_afternm(out.data() + begin, plain.data(), plain.size(), nonce.data(),
                          key_.data());
}

Result<std::vector<uint8_t>> SharedBox::open(Bytes nonce_and_box) const {
  constexpr Error kNotOpened = reconnect("the greeting's box does not open");
  if (nonce_and_box.size() < kNonceLen + kBoxOverhead) return kNotOpened;
  const Bytes sealed = nonce_and_box.subspan(kNonceLen);
  std::vector<uint8_t> plain(sealed.size() - kBoxOverhead);
  if (crypto_box_open_easy_afternm(plain.data(), sealed.data(), sealed.size(), nonce_and_box.data(),
                                   key_.data()) != 0) {
    return kNotOpened;
  }
  return plain;
}

Result<ClientInfo> parse_client_info(std::string_view json) {
  const Json value = parse_object(json);
  if (value.is_discarded()) return kBadInfo;
  ClientInfo info;
  for (const auto& [raw_name, field] : value.items()) {
    const std::string name = lower(raw_name);
    bool ok = true;
    if (name == "meshkey") ok = take(field, info.mesh_key);
    if (name == "version") ok = take_number(field, info.version);
    if (name == "canackpings") ok = take(field, info.can_ack_pings);
    if (name == "isprober") ok = take(field, info.is_prober);
    if (name == "appname") ok = take(field, info.app_name);
    if (!ok) return kBadInfo;
  }
  return info;
}

Result<ServerInfo> parse_server_info(std::string_view json) {
  const Json value = parse_object(json);
  if (value.is_discarded()) return kBadInfo;
  ServerInfo info;
  info.version = 0;
  for (const auto& [raw_name, field] : value.items()) {
    const std::string name = lower(raw_name);
    bool ok = true;
    if (name == "version") ok = take_number(field, info.version);
    if (name == "tokenbucketbytespersecond") {
      ok = take_number(field, info.token_bucket_bytes_per_second);
    }
    if (name == "tokenbucketbytesburst") ok = take_number(field, info.token_bucket_bytes_burst);
    if (!ok) return kBadInfo;
  }
  return info;
}

std::string format_client_info(const ClientInfo& info) {
  nlohmann::ordered_json value;
  if (!info.mesh_key.empty()) value["meshKey"] = info.mesh_key;
  value["version"] = info.version;
  value["CanAckPings"] = info.can_ack_pings;
  if (info.is_prober) value["IsProber"] = true;
  if (!info.app_name.empty()) value["AppName"] = info.app_name;
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string format_server_info(const ServerInfo& info) {
  nlohmann::ordered_json value = nlohmann::ordered_json::object();
  if (info.version != 0) value["version"] = info.version;
  if (info.token_bucket_bytes_per_second != 0) {
    value["TokenBucketBytesPerSecond"] = info.token_bucket_bytes_per_second;
    value["TokenBucketBytesBurst"] = info.token_bucket_bytes_burst;
  }
  return value.dump();
}

void append_client_info(const Key& client_public, const SharedBox& box, const Nonce& nonce,
                        const ClientInfo& info, std::vector<uint8_t>& out) {
  const std::string json = format_client_info(info);
  append_header(FrameType::kClientInfo, kKeyLen + kNonceLen + kBoxOverhead + json.size(), out);
  out.insert(out.end(), client_public.begin(), client_public.end());
  box.seal(nonce, as_bytes(json), out);
}

void append_server_info(const SharedBox& box, const Nonce& nonce, const ServerInfo& info,
                        std::vector<uint8_t>& out) {
  const std::string json = format_server_info(info);
  append_header(FrameType::kServerInfo, kNonceLen + kBoxOverhead + json.size(), out);
  box.seal(nonce, as_bytes(json), out);
}

}  // namespace es::derp

#include "native/tailcfg/node.h"

#include "common/base/json_text.h"
#include "common/base/rfc3339.h"

#include <string_view>

namespace es::tailcfg {
namespace {

// Members of one JSON object, each with its comma.
class Members {
 public:
  explicit Members(std::string& out) : out_(out) { out_ += '{'; }
  ~Members() { out_ += '}'; }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  void raw(std::string_view name, std::string_view json) {
    open(name);
    out_ += json;
  }
  void text(std::string_view name, std::string_view value) {
    open(name);
    append_json_string(out_, value);
  }
  void texts(std::string_view name, const std::vector<std::string>& list) {
    open(name);
    append_json_strings(out_, list);
  }
  void some_texts(std::string_view name, const std::vector<std::string>& list) {
    if (!list.empty()) texts(name, list);
  }
  template <class K>
  void some_key(std::string_view name, const K& key) {
    if (!key.is_zero()) text(name, key.text());
  }
  void some_time(std::string_view name, const std::optional<WallTime>& time) {
    if (time) text(name, format_rfc3339(*time));
  }
  void some_number(std::string_view name, int64_t value) {
    if (value != 0) raw(name, std::to_string(value));
  }
  void boolean(std::string_view name, const std::optional<bool>& value) {
    if (value) raw(name, *value ? "true" : "false");
  }

 private:
  void open(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += name;
    out_ += "\":";
  }

  std::string& out_;
  bool first_ = true;
};

}  // namespace

void append_json(std::string& out, const Node& node) {
  Members m(out);
  const std::string id = std::to_string(node.id);
  m.raw("ID", id);
  m.text("StableID", id);
  m.text("Name", node.name);
  m.raw("User", std::to_string(node.user));
  m.text("Key", node.key.text());
  // Older clients need the member; this is Go's zero time.
  m.text("KeyExpiry", format_rfc3339(node.key_expiry.value_or(kZeroTime)));
  m.some_key("Machine", node.machine);
  m.some_key("DiscoKey", node.disco);
  m.texts("Addresses", node.addresses);
  m.texts("AllowedIPs", node.allowed_ips);
  m.some_texts("Endpoints", node.endpoints);
  m.some_number("HomeDERP", node.home_derp);
  m.raw("Hostinfo", node.hostinfo_json);
  m.text("Created", format_rfc3339(node.created));
  m.some_number("Cap", node.capability_version);
  m.some_texts("Tags", node.tags);
  m.some_texts("PrimaryRoutes", node.primary_routes);
  m.some_time("LastSeen", node.last_seen);
  m.boolean("Online", node.online);
  m.raw("MachineAuthorized", "true");
  if (!node.cap_map_json.empty()) m.raw("CapMap", node.cap_map_json);
  if (node.key_state == Node::Key::kExpired) m.raw("Expired", "true");
}

void append_json(std::string& out, const PeerChange& change) {
  Members m(out);
  m.raw("NodeID", std::to_string(change.id));
  m.some_number("DERPRegion", change.home_derp);
  m.some_number("Cap", change.capability_version);
  if (change.endpoints) m.texts("Endpoints", *change.endpoints);
  if (change.key) m.some_key("Key", *change.key);
  if (change.disco) m.some_key("DiscoKey", *change.disco);
  m.boolean("Online", change.online);
  m.some_time("LastSeen", change.last_seen);
  m.some_time("KeyExpiry", change.key_expiry);
}

}  // namespace es::tailcfg

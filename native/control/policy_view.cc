#include "native/control/policy_view.h"

#include <algorithm>
#include <array>
#include <utility>

namespace es::control {
namespace {

// Shorter lists are written out in each filter; longer ones are worth a frame of their own.
constexpr size_t kMinSharedSources = 24;
// Lists that nobody uses any more are looked for when so many are kept.
constexpr size_t kMinKeptSources = 256;

constexpr std::string_view kOpenFilter =
    "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}}]}]";

uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15;
  return h ^ (h >> 29);
}

std::string name_text(uint64_t name) {
  if (name == kOpenRule) return "base";
  if (name == kNoRule) return "none";
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out = "r";
  for (int shift = 60; shift >= 0; shift -= 4) out += kDigits[name >> shift & 15];
  return out;
}

std::string& append_name(std::string& out, uint64_t name) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += name_text(name);
  return out += "\":";
}

}  // namespace

uint64_t hash_text(std::string_view text) { return std::hash<std::string_view>()(text); }

PolicyView::Source& PolicyView::source(
    const std::shared_ptr<const std::vector<std::string>>& list) {
  const auto [it, fresh] = sources_.try_emplace(list.get());
  Source& source = it->second;
  if (!fresh) return source;
  source.list = list;
  for (const std::string& text : *list) source.hash = mix(source.hash, hash_text(text));
  return source;
}

uint64_t PolicyView::name_of(const tailcfg::FilterRule& rule) {
  uint64_t h = 0x5bd1e995;
  if (rule.src_ips != nullptr) {
    if (rule.src_ips->size() >= kMinSharedSources) {
      h = mix(h, source(rule.src_ips).hash);
    } else {
      uint64_t list = 0;
      for (const std::string& text : *rule.src_ips) list = mix(list, hash_text(text));
      h = mix(h, list);
    }
  }
  tailcfg::FilterRule rest = {nullptr, rule.dst_ports, rule.ip_proto, rule.cap_grant};
  std::string text;
  append_json(text, rest);
  h = mix(h, hash_text(text));
  return std::max<uint64_t>(h, kNoRule + 1);
}

NamedFilter PolicyView::filter_of(uint64_t id) {
  if (sources_.size() > 2 * kept_sources_) {  // as much work as was put in since
    std::erase_if(sources_, [](const auto& entry) { return entry.second.list.use_count() == 1; });
    kept_sources_ = std::max(kMinKeptSources, sources_.size());
  }
  NamedFilter out;
  for (tailcfg::FilterRule& rule : index_->filter_for(id)) {
    const uint64_t name = name_of(rule);
    out.push_back({name, std::move(rule)});
  }
  if (out.empty()) out.push_back({kNoRule, {}});
  std::sort(out.begin(), out.end(),
            [](const NamedRule& a, const NamedRule& b) { return a.name < b.name; });
  out.erase(std::unique(out.begin(), out.end(),
                        [](const NamedRule& a, const NamedRule& b) { return a.name == b.name; }),
            out.end());
  return out;
}

std::string PolicyView::ssh_of(uint64_t id) const {
  std::string out = "{\"rules\":";
  append_json(out, index_->ssh_rules_for(id));
  return out + "}";
}

std::string PolicyView::attributes_of(uint64_t id) const {
  const tailcfg::CapMap caps = index_->attributes_of(id);
  if (caps.empty()) return {};
  std::string out;
  append_json(out, caps);
  out.pop_back();
  out.front() = ',';
  return out;
}

SeenRoutes PolicyView::routes_of(uint64_t id) {
  auto routes = index_->routes_seen_by(id);
  uint64_t h = 0;
  for (const policy::SeenRoute& r : routes) {
    h = mix(mix(mix(h, r.peer), r.prefix.address.hi ^ static_cast<uint64_t>(r.prefix.length)),
            r.prefix.address.lo);
  }
  auto& known = routes_[h];
  if (auto same = known.lock(); same != nullptr && *same == routes) return same;
  auto made = std::make_shared<const std::vector<policy::SeenRoute>>(std::move(routes));
  known = made;
  if (routes_.size() > 2 * kept_routes_) {
    std::erase_if(routes_, [](const auto& entry) { return entry.second.expired(); });
    kept_routes_ = std::max(kMinKeptSources, routes_.size());
  }
  return made;
}

void PolicyView::write_open_filter(const std::vector<uint64_t>& from, MapPayload& out) {
  std::string text = ",\"PacketFilters\":{";
  for (const uint64_t old : from) {
    if (old != kOpenRule) append_name(text, old) += "null";
  }
  append_name(text, kOpenRule) += kOpenFilter;
  out.text(text + "}");
}

void PolicyView::write_filter(const std::vector<uint64_t>& from, const NamedFilter& filter,
                              MapPayload& out) {
  std::string text = ",\"PacketFilters\":{";
  for (const uint64_t old : from) {
    const bool kept = std::any_of(filter.begin(), filter.end(),
                                  [&](const NamedRule& rule) { return rule.name == old; });
    if (!kept) append_name(text, old) += "null";
  }
  for (const NamedRule& named : filter) {
    if (std::binary_search(from.begin(), from.end(), named.name)) continue;
    append_name(text, named.name);
    if (named.name == kNoRule) {
      text += "[]";
    } else if (named.rule.src_ips == nullptr || named.rule.src_ips->size() < kMinSharedSources) {
      text += '[';
      append_json(text, named.rule);
      text += ']';
    } else {
      write_shared(named.rule, text, out);
    }
  }
  out.text(text + "}");
}

// The list of sources as a piece of its own, after what `text` holds so far.
void PolicyView::write_shared(const tailcfg::FilterRule& rule, std::string& text, MapPayload& out) {
  constexpr std::string_view kEmptySources = "{\"SrcIPs\":[]";
  Source& from = source(rule.src_ips);
  if (from.piece == nullptr) {
    std::string json;
    append_json(json, tailcfg::FilterRule{rule.src_ips, {}, {}, {}});
    json.pop_back();  // its "}" comes after the rest
    from.piece = make_map_piece("[" + json);
  }
  out.text(std::exchange(text, {}));
  out.piece(from.piece);
  std::string rest;
  append_json(rest, tailcfg::FilterRule{nullptr, rule.dst_ports, rule.ip_proto, rule.cap_grant});
  text += rest.substr(kEmptySources.size());
  text += ']';
}

}  // namespace es::control

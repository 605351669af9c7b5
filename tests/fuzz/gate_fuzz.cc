// The whole pipeline, as edge and as origin: whatever a client sends, both twins agree on requests
// that neither signature nor proxy concern, and nothing unsound is forwarded.
#include "common/gate/edge_key_check.h"
#include "common/gate/gate.h"
#include "common/token/edge_keys.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using es::gate::Decision;
using es::gate::Verdict;

void require(bool ok) {
  if (!ok) std::abort();
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
  return line;
}

// A gate of its own for each input, so that limits never hide what follows.
class Twin {
 public:
  explicit Twin(es::gate::Role role)
      : keys_(*es::token::derive_edge_keys(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")),
        check_(*es::gate::EdgeKeyCheck::create("operator-key-0123456789", keys_.seal)) {
    es::gate::Config config;
    config.role = role;
    es::gate::Parts parts;
    parts.request_memory = es::MutableBytes(memory_).first(memory_.size() / 2);
    parts.failure_memory = es::MutableBytes(memory_).subspan(memory_.size() / 2);
    parts.key_check = check_.as_key_check();
    parts.signature_key = &keys_.signature;
    gate_.emplace(*es::gate::Gate::create(config, parts));
  }
  Twin(const Twin&) = delete;
  Twin& operator=(const Twin&) = delete;

  Decision decide(const es::gate::Request& request) {
    return gate_->decide(request, es::wall_time_ms(1'800'000'000'000));
  }

 private:
  es::token::EdgeKeys keys_;
  es::gate::EdgeKeyCheck check_;
  std::array<uint8_t, 16384> memory_{};
  std::optional<es::gate::Gate> gate_;
};

}  // namespace

// Input: method, host, target, peer, authorization, signature, forwarded-for, then "name:value"
// lines.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text = es::as_text({data, size});
  es::gate::Request request;
  for (std::string_view* field :
       {&request.method, &request.host, &request.target, &request.peer, &request.authorization,
        &request.edge_signature, &request.forwarded_for}) {
    *field = take_line(text);
  }
  std::vector<es::http::Field> fields;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
      fields.push_back({line.substr(0, colon), line.substr(colon + 1)});
    }
  }
  request.fields = {[](void* context) -> std::optional<std::span<const es::http::Field>> {
                      return *static_cast<std::vector<es::http::Field>*>(context);
                    },
                    &fields};

  Twin edge(es::gate::Role::kEdge);
  Twin origin(es::gate::Role::kOrigin);
  const Decision at_edge = edge.decide(request);
  const Decision at_origin = origin.decide(request);
  for (const Decision& d : {at_edge, at_origin}) {
    require((d.verdict == Verdict::kRefuse) == (d.refusal != es::http::Refusal::kNone));
    if (d.verdict == Verdict::kRefuse) continue;
    for (const char c : request.target) require(c > 0x20 && c < 0x7f);
    if (request.target.starts_with("/api/")) {
      require(request.authorization.size() >= sizeof("Bearer "));
    }
  }
  const auto differs_by_role = [](const Decision& d) {
    return d.refusal == es::http::Refusal::kDirectPathOnly ||
           d.refusal == es::http::Refusal::kBadUpgrade || d.route == es::http::Route::kEdgeStatus;
  };
  if (!differs_by_role(at_edge) && !differs_by_role(at_origin)) {
    require(at_edge.verdict == at_origin.verdict);
    require(at_edge.refusal == at_origin.refusal);
    require(at_edge.forward_fields.bits == at_origin.forward_fields.bits);
  }
  return 0;
}

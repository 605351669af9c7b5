// What a change costs a tailnet of connected nodes under a company's policy: a node that joins, a
// change of tags, a policy that changes one rule, and one that changes nothing. Processor time of
// the change itself, how many sessions it wakes, and what writing their messages takes. Fails if a
// bound is broken or if somebody is woken who is not concerned.
#include "native/control/map_session.h"
#include "native/control/policy_desk.h"
#include "native/control/tailnet.h"
#include "tests/bench/company.h"
#include "tests/bench/cpu_time.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

using namespace es;
using namespace es::bench;

namespace {

constexpr WallTime kNow = wall_time_ms(1'790'000'000'000);

// Commits at once, in memory.
class Memory final : public store::Store {
 public:
  explicit Memory(store::Contents contents) : contents_(std::move(contents)) {}
  Result<void, store::StoreError> start(const Loader& load, CommitSink sink) override {
    load(contents_);
    sink_ = std::move(sink);
    return {};
  }
  void write(store::Transaction transaction, Done done) override {
    for (store::Change& change : transaction.changes) {
      if (auto* c = std::get_if<store::InsertNode>(&change)) c->node.id = next_++;
    }
    sink_(std::span(&transaction, 1));
    if (done) done(&transaction);
  }
  void ping(PingDone done) override { done({}); }
  void close() override {}

 private:
  store::Contents contents_;
  CommitSink sink_;
  uint64_t next_ = 1'000'000;
};

template <class Key>
Key key_of(uint64_t n) {
  tailcfg::RawKey raw{};
  for (size_t i = 0; i < 8; ++i) raw[i] = static_cast<uint8_t>(n >> (8 * i));
  raw[31] = 1;
  return Key(raw);
}

store::Node row_of(const policy::Node& node) {
  store::Node row;
  row.id = node.id;
  row.machine_key = key_of<tailcfg::MachineKey>(node.id).text();
  row.node_key = key_of<tailcfg::NodeKey>(node.id).text();
  row.ipv4 = node.addresses[0].text();
  row.ipv6 = node.addresses[1].text();
  row.hostname = row.given_name = "h" + std::to_string(node.id);
  row.tags = node.tags;
  if (node.user) row.user_id = *node.user + 1;
  row.register_method = "authkey";
  row.hostinfo = "{}";
  if (!node.routes.empty()) {
    row.hostinfo = "{\"RoutableIPs\":[\"" + node.routes[0].text() + "\"]}";
    row.approved_routes = {node.routes[0].text()};
  }
  row.capability_version = 113;
  row.created_at = kNow;
  return row;
}

bool broken = false;

class Bench {
 public:
  explicit Bench(size_t num_nodes) : shape_{num_nodes}, random_(20261122) {
    text_ = policy_text(shape_, random_);
    store::Contents contents;
    for (size_t u = 0; u < shape_.users(); ++u) {
      store::User user;
      user.id = u + 1;
      user.name = "u" + number(u);
      user.email = user.name + "@x.com";
      contents.users.push_back(std::move(user));
    }
    for (size_t i = 0; i < num_nodes; ++i) {
      contents.nodes.push_back(row_of(make_node(shape_, i, random_)));
    }
    directory_ =
        control::Directory::create(std::make_unique<Memory>(std::move(contents)), {}).value();
    control::TailnetOptions options;
    options.addresses.v4 = *parse_ip_prefix("100.64.0.0/10");
    options.addresses.v6 = *parse_ip_prefix("fd7a:115c:a1e0::/48");
    tailnet_ =
        control::Tailnet::create(*directory_, directory_->take_nodes(), options, kNow).value();
    directory_->listen([this](auto commits) { tailnet_->apply(commits); });
  }
  ~Bench() { directory_->listen({}); }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void run() {
    std::printf("%zu connected nodes, %zu rules\n", shape_.nodes, shape_.rules());
    install("first policy", text_, 60'000);
    connect_all();
    size_t same = install("the same policy again", text_, 60'000);
    if (same != 0) fail("the same policy woke somebody");
    install("one rule's port changes", with_other_port(), 60'000);
    measure("one node joins", 10, [&](int i) {
      policy::Node joining = make_node(shape_, shape_.nodes + static_cast<size_t>(i), random_);
      directory_->submit({{store::InsertNode{row_of(joining)}}}, {});
    });
    measure("one node's tags change", 10, [&](int i) {
      const uint64_t id = 1 + 4 * static_cast<uint64_t>(100 + i);
      directory_->submit({{store::SetNodeTags{id, {"tag:t" + number(static_cast<size_t>(i))}}}},
                         {});
    });
    measure("one node's endpoints change", 10, [&](int i) {
      const uint64_t id = 1 + 4 * static_cast<uint64_t>(200 + i);
      tailcfg::MapRequest update;
      update.version = 113;
      update.node_key = key_of<tailcfg::NodeKey>(id);
      update.endpoints = {"192.0.2.1:" + std::to_string(1 + i)};
      update.hostinfo.hostname = "h" + std::to_string(id);
      update.hostinfo.full_json = "{}";
      if (!tailnet_->update(key_of<tailcfg::MachineKey>(id), update, kNow).ok()) fail("update");
    });
    quiet_tick();
  }

 private:
  // Housekeeping that finds nothing to do holds the tailnet's lock for this long. Something else
  // had the caches before.
  void quiet_tick() {
    std::vector<uint8_t> others(64U << 20U);
    double worst = 0;
    double total = 0;
    constexpr int kRuns = 20;
    for (int i = 0; i < kRuns; ++i) {
      std::fill(others.begin(), others.end(), static_cast<uint8_t>(i));
      const double cost = thread_ms([&] { tailnet_->tick(kNow); });
      worst = std::max(worst, cost);
      total += cost;
    }
    std::printf("  %-28s %9.3f ms (worst %.3f)\n", "a tick with nothing to do", total / kRuns,
                worst);
    if (shape_.nodes <= 3000 && total / kRuns > 1) fail("a tick holds the lock for long");
  }

  void fail(const char* what) {
    std::printf("  WRONG: %s\n", what);
    broken = true;
  }

  void connect_all() {
    size_t bytes = 0;
    const double total = thread_ms([&] {
      for (size_t i = 0; i < shape_.nodes; ++i) {
        const uint64_t id = i + 1;
        tailcfg::MapRequest poll;
        poll.version = 113;
        poll.node_key = key_of<tailcfg::NodeKey>(id);
        poll.stream = true;
        poll.zstd = true;
        auto session = tailnet_->open_session(key_of<tailcfg::MachineKey>(id), poll, kNow,
                                              [this, i] { woken_.insert(i); });
        if (!session.ok()) return fail("a session");
        sessions_.push_back(std::move(session).value());
        bytes += sessions_.back()->take(kNow).value_or(control::MapMessage{}).size();
      }
    });
    drain();
    std::printf("  %-28s %9.3f ms each, %zu KiB each\n", "connecting, first map",
                total / static_cast<double>(shape_.nodes), bytes / shape_.nodes / 1024);
  }

  // Writes what the woken sessions have to say; returns the bytes.
  size_t drain() {
    size_t bytes = 0;
    while (!woken_.empty()) {
      for (const size_t i : std::exchange(woken_, {})) {
        while (const auto message = sessions_[i]->take(kNow)) bytes += message->size();
      }
    }
    return bytes;
  }

  size_t install(const char* what, const std::string& text, double most) {
    policy::Problems problems;
    std::unique_ptr<control::CompiledPolicy> compiled;
    const double compile = thread_ms([&] { compiled = tailnet_->compile_policy(text, problems); });
    if (compiled == nullptr) {
      std::printf("refused: %s\n", problems.text().c_str());
      std::exit(1);
    }
    woken_.clear();
    const double install = thread_ms([&] { tailnet_->install_policy(std::move(compiled)); });
    const size_t woken = woken_.size();
    size_t bytes = 0;
    const double write = thread_ms([&] { bytes = drain(); });
    broken |= install > most;
    std::printf(
        "  %-28s compile %.0f ms, install %.0f ms, %zu woken, their messages %.1f ms, %zu "
        "KiB\n",
        what, compile, install, woken, write, bytes / 1024);
    return woken;
  }

  template <class F>
  void measure(const char* what, int runs, F change) {
    double worst = 0;
    double total = 0;
    double write = 0;
    size_t woken = 0;
    size_t bytes = 0;
    for (int i = 0; i < runs; ++i) {
      woken_.clear();
      const double cost = thread_ms([&] { change(i); });
      worst = std::max(worst, cost);
      total += cost;
      woken += woken_.size();
      write += thread_ms([&] { bytes += drain(); });
    }
    const auto n = static_cast<double>(runs);
    std::printf("  %-28s %9.3f ms (worst %.3f), %zu woken, their messages %.1f ms, %zu KiB\n", what,
                total / n, worst, woken / static_cast<size_t>(runs), write / n,
                bytes / static_cast<size_t>(runs) / 1024);
  }

  // Another port in one rule.
  std::string with_other_port() const {
    std::string out = text_;
    const size_t at = out.find("\"dst\": [\"tag:");
    const size_t end = out.find("\"]}", at);
    const size_t port = out.rfind(':', end);
    out.replace(port + 1, end - port - 1, "4242");
    return out;
  }

  const Shape shape_;
  std::mt19937_64 random_;
  std::string text_;
  std::unique_ptr<control::Directory> directory_;
  std::unique_ptr<control::Tailnet> tailnet_;
  std::vector<std::shared_ptr<control::MapSession>> sessions_;
  std::set<size_t> woken_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Bench(static_cast<size_t>(std::atoi(argv[1]))).run();
    return broken ? 1 : 0;
  }
  for (const size_t nodes : {1000, 10000}) Bench(nodes).run();
  return broken ? 1 : 0;
}

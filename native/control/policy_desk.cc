#include "native/control/policy_desk.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <utility>

namespace es::control {
namespace {

constexpr size_t kMaxJobs = 32;
constexpr size_t kMaxDecisions = 64;
constexpr size_t kMaxRuleText = 200;

// User interfaces of Headscale know a policy's mistakes by this.
constexpr std::string_view kParsing = "parsing policy from bytes: ";

Refusal busy() {
  return {Reason::kRetryLater, "too many policies are being read, try again later"};
}

// The line without the space around it.
std::string line_of(std::string_view text, uint32_t number) {
  for (uint32_t line = 1; line < number && !text.empty(); ++line) {
    const size_t end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  text = text.substr(0, text.find_first_of("\r\n"));
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return std::string(text.substr(0, kMaxRuleText));
}

}  // namespace

Result<std::unique_ptr<PolicyDesk>, std::string> PolicyDesk::open(Directory& directory,
                                                                  Tailnet& tailnet,
                                                                  Options options) {
  std::unique_ptr<PolicyDesk> desk(new PolicyDesk(directory, tailnet, std::move(options)));
  if (desk->options_.mode == Mode::kFile) {
    ES_CHECK(desk->load_file());
    return desk;
  }
  const auto stored = directory.take_policy();
  if (!stored) return desk;
  auto compiled = desk->compile(stored->text);
  if (!compiled.ok()) return "the policy in the database: " + compiled.error().text;
  desk->serve(std::move(compiled).value(), {stored->text, stored->created_at});
  return desk;
}

PolicyDesk::~PolicyDesk() { stop(); }

Result<std::unique_ptr<CompiledPolicy>, Refusal> PolicyDesk::compile(std::string_view text) const {
  policy::Problems problems;
  auto compiled = tailnet_.compile_policy(text, problems);
  if (compiled == nullptr) {
    return Refusal{Reason::kInvalid, std::string(kParsing) + problems.text()};
  }
  return compiled;
}

void PolicyDesk::serve(std::unique_ptr<CompiledPolicy> compiled, PolicyDocument document) {
  tailnet_.install_policy(std::move(compiled));
  const std::lock_guard lock(mutex_);
  document_ = std::move(document);
}

Result<void, std::string> PolicyDesk::load_file() {
  PolicyFile file;
  {
    const std::lock_guard lock(mutex_);
    file = options_.file;
  }
  if (!file.read) return {};
  // Before it is read: what changes meanwhile is another version.
  std::string signature = file.signature();
  {
    const std::lock_guard lock(mutex_);
    loaded_signature_ = signature;
    seen_signature_ = std::move(signature);
  }
  auto text = file.read();
  if (!text.ok()) return "policy.path: " + text.error().why;
  auto compiled = compile(*text);
  if (!compiled.ok()) return "policy.path: " + file.path + ": " + compiled.error().text;
  serve(std::move(compiled).value(), {std::move(text).value(), std::nullopt});
  return {};
}

void PolicyDesk::start() {
  const std::lock_guard lock(mutex_);
  if (running_ || stopping_) return;
  running_ = true;
  thread_ = std::thread([this] { run(); });
}

void PolicyDesk::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool PolicyDesk::enqueue(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (!running_ || stopping_ || jobs_.size() >= kMaxJobs) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_all();
  return true;
}

void PolicyDesk::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto has_work = [this] { return stopping_ || !jobs_.empty(); };
    if (options_.file.signature) {
      wake_.wait_for(lock, options_.look_at_file, has_work);
    } else {
      wake_.wait(lock, has_work);
    }
    // Who waits gets an answer also at the end.
    if (jobs_.empty() && stopping_) return;
    std::deque<Job> jobs = std::exchange(jobs_, {});
    const bool look = jobs.empty();
    lock.unlock();
    for (const Job& job : jobs) job();
    if (look) look_at_file();
    lock.lock();
  }
}

// Two looks must agree: a file that is written in place is not read half way.
void PolicyDesk::look_at_file() {
  std::function<std::string()> signature;
  {
    const std::lock_guard lock(mutex_);
    signature = options_.file.signature;
  }
  if (!signature) return;
  std::string now = signature();
  {
    const std::lock_guard lock(mutex_);
    const bool settled = now == seen_signature_;
    const bool changed = now != loaded_signature_;
    seen_signature_ = std::move(now);
    if (!settled || !changed) return;
  }
  const auto done = load_file();
  if (options_.on_file) options_.on_file(done);
}

Result<void, std::string> PolicyDesk::reload(PolicyFile file) {
  if (options_.mode != Mode::kFile) return {};
  std::promise<Result<void, std::string>> promise;
  auto result = promise.get_future();
  const bool accepted = enqueue([&] {
    PolicyFile before;
    {
      const std::lock_guard lock(mutex_);
      before = std::exchange(options_.file, std::move(file));
    }
    auto done = load_file();
    if (!done.ok()) {
      const std::lock_guard lock(mutex_);
      options_.file = std::move(before);
    }
    promise.set_value(std::move(done));
  });
  if (!accepted) return std::string("policy.path: the server is stopping");
  return result.get();
}

std::optional<PolicyDocument> PolicyDesk::document() const {
  const std::lock_guard lock(mutex_);
  return document_;
}

void PolicyDesk::put(std::string text, WallTime now, Answer<PolicyDocument> answer) {
  if (options_.mode != Mode::kDatabase) {
    return answer(Refusal{Reason::kInvalid,
                          "update is disabled for modes other than 'database': this server reads "
                          "its policy from the file at policy.path; change that file, or set "
                          "policy.mode to database"});
  }
  const auto shared = std::make_shared<Answer<PolicyDocument>>(std::move(answer));
  const bool accepted = enqueue([this, text = std::move(text), now, shared]() mutable {
    store(std::move(text), now, *shared);
  });
  if (!accepted) (*shared)(busy());
}

// Compiled first: nothing that is wrong is stored. Then stored, then in service.
void PolicyDesk::store(std::string text, WallTime now, const Answer<PolicyDocument>& answer) {
  auto compiled = compile(text);
  if (!compiled.ok()) return answer(compiled.error());
  std::promise<Result<void, Refusal>> stored;
  directory_.submit({{store::InsertPolicy{{0, text, now}}}}, [&](auto done) {
    Result<void, Refusal> result;
    if (!done.ok()) result = directory_.refusal_of(done.error(), "policy");
    stored.set_value(std::move(result));
  });
  if (const auto result = stored.get_future().get(); !result.ok()) return answer(result.error());
  PolicyDocument document{std::move(text), now};
  serve(std::move(compiled).value(), document);
  answer(std::move(document));
}

void PolicyDesk::check(std::string text, Answer<void> answer) {
  const auto shared = std::make_shared<Answer<void>>(std::move(answer));
  const bool accepted = enqueue([this, text = std::move(text), shared] {
    const auto compiled = compile(text);
    if (compiled.ok()) return (*shared)({});
    (*shared)(compiled.error());
  });
  if (!accepted) (*shared)(busy());
}

std::vector<policy::Address> PolicyDesk::addresses_of(std::string_view who) const {
  if (const auto address = policy::Address::parse(who)) return {*address};
  std::vector<policy::Address> out;
  std::string_view user = who;
  if (user.ends_with('@')) user.remove_suffix(1);
  for (const NodePtr& node : tailnet_.nodes()) {
    const store::Node& row = node->row;
    bool meant = row.given_name == who || std::to_string(row.id) == who ||
                 std::find(row.tags.begin(), row.tags.end(), who) != row.tags.end();
    if (!meant && row.user_id && !node->tagged()) {
      const auto owner = directory_.user(*row.user_id);
      meant = owner != nullptr && (owner->name == user || owner->email == who);
    }
    if (!meant) continue;
    for (const std::string* text : {&row.ipv4, &row.ipv6}) {
      const auto address = policy::Address::parse(*text);
      if (!address) continue;
      out.push_back(*address);
      break;
    }
  }
  return out;
}

Result<std::vector<PolicyDecision>, Refusal> PolicyDesk::explain(std::string_view src,
                                                                 std::string_view dst,
                                                                 int protocol) const {
  const auto invalid = [](std::string text) { return Refusal{Reason::kInvalid, std::move(text)}; };
  const size_t colon = dst.rfind(':');
  uint16_t port = 0;
  const std::string_view digits = colon == std::string_view::npos ? "" : dst.substr(colon + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return invalid("dst: give a destination with its port, such as web:443 or [fd7a::1]:22");
  }
  dst = dst.substr(0, colon);
  if (dst.starts_with('[') && dst.ends_with(']')) dst = dst.substr(1, dst.size() - 2);
  const auto from = addresses_of(src);
  if (from.empty()) return invalid("src: no node, address, tag in use or user is called that");
  const auto to = addresses_of(dst);
  if (to.empty()) return invalid("dst: no node, address, tag in use or user is called that");
  const auto document = this->document();
  std::vector<PolicyDecision> out;
  for (const policy::Address& a : from) {
    for (const policy::Address& b : to) {
      if (out.size() >= kMaxDecisions) return out;
      PolicyDecision decision{a.text(), b.text(), port, true, {}, {}};
      // Without a policy everything is allowed.
      if (const auto verdict = tailnet_.explain(a, b, protocol, port)) {
        decision.allowed = verdict->allowed;
        decision.rule = verdict->rule;
      }
      if (decision.rule.line > 0 && document) {
        decision.rule_text = line_of(document->text, decision.rule.line);
      }
      out.push_back(std::move(decision));
    }
  }
  return out;
}

}  // namespace es::control

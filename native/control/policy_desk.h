// Where the policy comes from: a file, or the database by way of the API; and how another one gets
// into service.
//
// A document that does not parse, names what is not there, or fails its own tests is refused whole,
// with every problem found, and the one in service stays. What was answered as done is durable and
// in service. Documents are read one at a time on a thread of its own, so that neither the API nor
// the tailnet waits for a large one.
//
// Threads: every method from any thread. Answers come on the desk's thread, or inside the call when
// there is nothing to wait for; they must not block or destroy the desk.
#pragma once

#include "native/control/directory.h"
#include "native/control/tailnet.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace es::control {

struct Unreadable {
  std::string why;
};

// The file of a policy, for those who may touch the disk. Empty functions: there is none.
struct PolicyFile {
  std::string path;
  std::function<Result<std::string, Unreadable>()> read;
  std::function<std::string()> signature;  // another text after every change
};

struct PolicyDocument {
  std::string text;
  std::optional<WallTime> updated_at;  // none: it is a file's
};

// One connection and the rule that decides about it.
struct PolicyDecision {
  std::string src;  // addresses
  std::string dst;
  uint16_t port = 0;
  bool allowed = false;
  policy::Position rule;  // line 0: no rule allows it, or there are no rules at all
  std::string rule_text;  // the rule's first line
};

class PolicyDesk {
 public:
  enum class Mode : uint8_t { kFile, kDatabase };
  struct Options {
    Mode mode = Mode::kFile;
    PolicyFile file;
    Millis look_at_file{1000};
    // What happened to the file, for the log: nothing wrong, or what is.
    std::function<void(const Result<void, std::string>&)> on_file;
  };

  // Puts the stored or written policy into service. The error has every problem of it.
  static Result<std::unique_ptr<PolicyDesk>, std::string> open(Directory& directory,
                                                               Tailnet& tailnet, Options options);
  ~PolicyDesk();
  PolicyDesk(const PolicyDesk&) = delete;
  PolicyDesk& operator=(const PolicyDesk&) = delete;

  void start();
  void stop();  // what waits is refused; may be repeated

  Mode mode() const { return options_.mode; }
  std::optional<PolicyDocument> document() const;
  // Only of mode kDatabase.
  void put(std::string text, WallTime now, Answer<PolicyDocument> answer);
  // Everything that put() would do but putting it into service.
  void check(std::string text, Answer<void> answer);
  // Reads the file again, which may be another one. Waits for it.
  Result<void, std::string> reload(PolicyFile file);

  // `src` is an address, a node's name or id, a tag or a user; `dst` likewise with ":port" after
  // it. Protocol 0 is any of those that rules mean without saying so. At most 64 decisions.
  Result<std::vector<PolicyDecision>, Refusal> explain(std::string_view src, std::string_view dst,
                                                       int protocol) const;

 private:
  using Job = std::function<void()>;

  PolicyDesk(Directory& directory, Tailnet& tailnet, Options options)
      : directory_(directory), tailnet_(tailnet), options_(std::move(options)) {}
  Result<std::unique_ptr<CompiledPolicy>, Refusal> compile(std::string_view text) const;
  Result<void, std::string> load_file();
  void store(std::string text, WallTime now, const Answer<PolicyDocument>& answer);
  void serve(std::unique_ptr<CompiledPolicy> compiled, PolicyDocument document);
  bool enqueue(Job job);
  void run();
  void look_at_file();
  std::vector<policy::Address> addresses_of(std::string_view who) const;

  Directory& directory_;
  Tailnet& tailnet_;
  Options options_;  // the file: under the lock

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool running_ = false;
  bool stopping_ = false;
  std::optional<PolicyDocument> document_;
  std::string loaded_signature_;  // of the file as it was read last
  std::string seen_signature_;    // as it was at the last look
  std::thread thread_;
};

}  // namespace es::control

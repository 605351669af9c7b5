// Whether this origin can do its work: one asynchronous check, asked at most once a second.
//
// /health is public and cheap to ask for; the check behind it (the database's writer) is not.
// Callers that come while a check is under way get its answer; callers within kFreshFor of an
// answer get that one. Threads: any.
#pragma once

#include "common/base/time.h"

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace es::telemetry {

enum class Verdict { kPass, kFail };

class Health {
 public:
  using Done = std::function<void(Verdict)>;
  // Calls its argument once, from any thread.
  using Check = std::function<void(Done)>;

  static constexpr Millis kFreshFor{1000};

  explicit Health(Check check);

  // `now` may come from any clock that does not go back.
  void ask(Millis now, Done done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace es::telemetry

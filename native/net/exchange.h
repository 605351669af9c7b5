// Internal to net: one request's answer on its way from a handler on any thread back to the
// connection's coroutine.
//
// Whoever calls claim() first decides the answer: the handler, the deadline, the end of the
// connection, or the last copy of Reply going away. It then fills in the fields and calls finish().
#pragma once

#include "native/net/http.h"
#include "native/net/worker.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace es::net {

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  enum class Outcome { kAnswered, kTaken, kAbandoned };

  // The worker must outlive this, which its shared_ptr sees to.
  explicit Exchange(std::shared_ptr<Worker> worker) : worker_(std::move(worker)) {}

  bool claim() { return !claimed_.exchange(true, std::memory_order_acq_rel); }
  void finish() {
    if (state_.exchange(State::kDone, std::memory_order_acq_rel) == State::kWaiting) resume();
  }
  void answer(Response r) {
    if (!claim()) return;
    response = std::move(r);
    finish();
  }
  bool done() const { return state_.load(std::memory_order_acquire) == State::kDone; }

  // Completes on the worker once finish() has been called.
  template <class Token>
  auto async_wait(Token&& token) {
    return boost::asio::async_initiate<Token, void()>(
        [self = shared_from_this()](auto handler) {
          auto shared = std::make_shared<decltype(handler)>(std::move(handler));
          self->resume_ = [shared] { std::move (*shared)(); };
          State open = State::kOpen;
          if (!self->state_.compare_exchange_strong(open, State::kWaiting,
                                                    std::memory_order_acq_rel)) {
            self->resume();
          }
        },
        token);
  }

  Response response;
  Outcome outcome = Outcome::kAnswered;

 private:
  enum class State { kOpen, kWaiting, kDone };

  void resume() { boost::asio::post(worker_->executor(), std::move(resume_)); }

  std::shared_ptr<Worker> worker_;
  std::atomic<bool> claimed_{false};
  std::atomic<State> state_{State::kOpen};
  std::function<void()> resume_;
};

// The handler's Reply; the last copy to go answers 500 if nobody else has.
inline Reply make_reply(const std::shared_ptr<Exchange>& exchange) {
  struct Guard {
    std::shared_ptr<Exchange> exchange;
    explicit Guard(std::shared_ptr<Exchange> e) : exchange(std::move(e)) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() { exchange->answer(error_response(500, "internal error")); }
  };
  return [guard = std::make_shared<Guard>(exchange)](Response response) {
    guard->exchange->answer(std::move(response));
  };
}

}  // namespace es::net

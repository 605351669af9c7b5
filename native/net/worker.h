// Internal to net: one I/O thread with its io_context, and coarse deadlines.
//
// A connection lives on one worker from accept to end: the worker's single thread is its strand.
// Deadlines are counted in ticks: arming one is a store, and one timer a worker looks at all of
// them each tick, so that a request pays for no timer. A deadline fires up to one tick late. While
// none is armed nothing ticks: thousands of silent connections cost no processor time.
//
// Threads: post() from any; all else on the worker's own thread, except where noted.
#pragma once

#include "common/base/time.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

namespace es::net {

using Executor = boost::asio::io_context::executor_type;

class Connection;
class Worker;

// Something with a deadline. Made and destroyed on its worker's thread.
class Timed {
 public:
  explicit Timed(Worker& worker);
  virtual ~Timed();
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

  // Replaces the deadline; zero or less disarms.
  void arm(Millis from_now);
  void disarm();

 protected:
  // The deadline has passed and is disarmed. Must not destroy a Timed of this worker.
  virtual void on_due() = 0;

 private:
  friend class Worker;
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  Worker& worker_;
  uint64_t due_ = kNever;
  size_t index_ = 0;  // in worker_.timed_
};

class Worker {
 public:
  explicit Worker(Millis tick);
  ~Worker();

  boost::asio::io_context& context() { return context_; }
  Executor executor() { return context_.get_executor(); }

  // Any thread, once each: start() before, join() after everything else.
  void start();
  // Lets the thread end when nothing is left to do.
  void release();
  // Ends the thread's loop now.
  void stop();
  void join();

  // True on the worker's own thread, and on any once the worker has been joined.
  bool owns_this_thread() const {
    return joined_.load(std::memory_order_acquire) ||
           std::this_thread::get_id() == thread_id_.load(std::memory_order_acquire);
  }

  // "Sun, 06 Nov 1994 08:49:37 GMT", made once a second.
  const std::string& http_date(WallTime now);

  std::unordered_set<Connection*>& connections() { return connections_; }

 private:
  friend class Timed;
  void start_ticking();
  void on_tick();

  const Millis tick_;
  boost::asio::io_context context_{1};
  std::optional<boost::asio::executor_work_guard<Executor>> guard_;
  boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                    boost::asio::wait_traits<std::chrono::steady_clock>, Executor>
      timer_;
  bool ticking_ = false;
  uint64_t now_ = 0;
  std::vector<Timed*> timed_;
  size_t num_armed_ = 0;
  std::unordered_set<Connection*> connections_;
  int64_t date_second_ = -1;
  std::string date_;
  std::atomic<std::thread::id> thread_id_;
  std::atomic<bool> joined_{false};
  std::thread thread_;
};

}  // namespace es::net

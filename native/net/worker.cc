#include "native/net/worker.h"

#include <array>
#include <cstdio>

namespace es::net {

Timed::Timed(Worker& worker) : worker_(worker), index_(worker.timed_.size()) {
  worker_.timed_.push_back(this);
}

Timed::~Timed() {
  disarm();
  Timed* last = worker_.timed_.back();
  worker_.timed_[index_] = last;
  last->index_ = index_;
  worker_.timed_.pop_back();
}

void Timed::arm(Millis from_now) {
  if (from_now <= Millis::zero()) {
    disarm();
    return;
  }
  if (due_ == kNever) ++worker_.num_armed_;
  worker_.start_ticking();
  // Rounded up, and one more for the tick that is partly over.
  due_ = worker_.now_ +
         static_cast<uint64_t>((from_now + worker_.tick_ - Millis{1}) / worker_.tick_) + 1;
}

void Timed::disarm() {
  if (due_ != kNever) --worker_.num_armed_;
  due_ = kNever;
}

Worker::Worker(Millis tick)
    : tick_(tick), guard_(boost::asio::make_work_guard(context_)), timer_(context_) {}

Worker::~Worker() {
  stop();
  join();
}

void Worker::start() {
  thread_ = std::thread([this] {
    thread_id_.store(std::this_thread::get_id(), std::memory_order_release);
    context_.run();
  });
}

void Worker::release() { guard_.reset(); }

void Worker::stop() { context_.stop(); }

void Worker::join() {
  if (thread_.joinable()) thread_.join();
  joined_.store(true, std::memory_order_release);
}

void Worker::start_ticking() {
  if (ticking_) return;
  ticking_ = true;
  timer_.expires_after(tick_);
  timer_.async_wait([this](boost::system::error_code ec) {
    ticking_ = false;
    if (!ec) on_tick();
  });
}

void Worker::on_tick() {
  ++now_;
  for (size_t i = 0; i < timed_.size(); ++i) {
    Timed& timed = *timed_[i];
    if (timed.due_ > now_) continue;
    timed.disarm();
    timed.on_due();
  }
  if (num_armed_ > 0) start_ticking();
}

const std::string& Worker::http_date(WallTime now) {
  const int64_t second = unix_seconds(now);
  if (second == date_second_) return date_;
  date_second_ = second;
  static constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed",
                                                    "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<Millis> clock(now - day);
  std::array<char, 64> text{};
  const int len = std::snprintf(
      text.data(), text.size(), "%s, %02u %s %04d %02d:%02d:%02d GMT",
      kDays[std::chrono::weekday(day).c_encoding()], static_cast<unsigned>(date.day()),
      kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  date_.assign(text.data(), static_cast<size_t>(len));
  return date_;
}

}  // namespace es::net

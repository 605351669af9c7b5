// The processor time of the calling thread: other load on the machine matters less than with a wall
// clock.
#pragma once

#include <ctime>

namespace es::bench {

inline double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// Milliseconds that f() takes.
template <class F>
double thread_ms(F&& f) {
  const double start = thread_ns();
  f();
  return (thread_ns() - start) * 1e-6;
}

}  // namespace es::bench

// A value or the reason why there is none; the error type of everything that runs in both twins.
//
// Errors are small, trivially copyable and grouped by what the caller should do next. `what` is a
// literal: it may be sent to a peer that has not authenticated, so it never holds its input.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace es {

enum class Action : uint8_t {
  kRefuse,      // the input is wrong: say so to the peer, keep the connection's rules
  kRetryLater,  // the same call may succeed later
  kReconnect,   // this connection is of no more use
  kBug,         // cannot happen: log it and stop what was being done
};

struct Error {
  Action action = Action::kBug;
  std::string_view what;

  friend bool operator==(const Error&, const Error&) = default;
};
static_assert(std::is_trivially_copyable_v<Error>);

constexpr Error refuse(std::string_view what) { return {Action::kRefuse, what}; }
constexpr Error retry_later(std::string_view what) { return {Action::kRetryLater, what}; }
constexpr Error reconnect(std::string_view what) { return {Action::kReconnect, what}; }
constexpr Error bug(std::string_view what) { return {Action::kBug, what}; }

// Either a T or an E. value() and error() must match ok(); the wrong one is undefined behaviour.
template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: by intent
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: by intent

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return *std::get_if<0>(&state_); }
  const T& value() const& { return *std::get_if<0>(&state_); }
  T&& value() && { return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const E& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  Result(E error) : error_(std::move(error)) {}  // NOLINT: by intent

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const E& error() const { return *error_; }

 private:
  std::optional<E> error_;
};

using Status = Result<void, Error>;

}  // namespace es

#define ES_CONCAT_INNER(a, b) a##b
#define ES_CONCAT(a, b) ES_CONCAT_INNER(a, b)

// ES_TRY(auto x, expr): x is the value of expr, or this function returns its error.
// A statement macro: co_await inside a GNU statement expression crashes GCC 12.2.
#define ES_TRY(decl, ...) ES_TRY_INNER(ES_CONCAT(es_try_, __COUNTER__), decl, __VA_ARGS__)
#define ES_TRY_INNER(tmp, decl, ...) \
  auto tmp = (__VA_ARGS__);          \
  if (!tmp.ok()) return tmp.error(); \
  decl = std::move(tmp).value()

// ES_CHECK(expr): this function returns expr's error if it has one.
#define ES_CHECK(...)                                      \
  do {                                                     \
    if (auto es_status = (__VA_ARGS__); !es_status.ok()) { \
      return es_status.error();                            \
    }                                                      \
  } while (false)

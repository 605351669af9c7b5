#include "native/net/connection.h"

#include "common/http/target.h"
#include "native/net/gatekeeper.h"
#include "native/net/head_scanner.h"
#include "native/net/upgrade.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <utility>

namespace es::net {
namespace {

namespace asio = boost::asio;
namespace bhttp = boost::beast::http;

constexpr size_t kReadSize = 4096;
constexpr size_t kBodyReadSize = 64 * 1024;
// Answers to pipelined requests are collected up to this size before they are sent.
constexpr size_t kFlushSize = 64 * 1024;
// A body up to this size is copied behind its head; a larger one is sent from where it is.
constexpr size_t kCopySize = 16 * 1024;
// How much a client may still send to a connection that is being closed, and for how long: closing
// with unread input would reset the connection and lose the answer.
constexpr size_t kLingerBytes = 256 * 1024;
constexpr Millis kLingerTime{2000};

bool has_token(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const size_t end = list.find(',');
    std::string_view item = list.substr(0, end);
    list = end == std::string_view::npos ? std::string_view{} : list.substr(end + 1);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (same_name(item, token)) return true;
  }
  return false;
}

bool any_field_has(const Request& request, std::string_view name, std::string_view token) {
  return std::any_of(request.fields.begin(), request.fields.end(), [&](const Field& f) {
    return same_name(f.name, name) && has_token(f.value, token);
  });
}

bool asks_for_upgrade(const Request& request) {
  return request.field("upgrade").has_value() && any_field_has(request, "connection", "upgrade");
}

// What the gate decides by path, once more by route: a route that wants a key is never called
// without one, whatever its path is.
bool may_call(const Route& route, Trust trust, const gate::Decision& decision) {
  return route.access == Access::kPublic || trust == Trust::kLocalSocket ||
         decision.key == gate::KeyVerdict::kValid || decision.key == gate::KeyVerdict::kOperator;
}

NetMetrics::Closed closed_in(bool idle, bool head, bool body) {
  if (idle) return NetMetrics::Closed::kIdle;
  if (head) return NetMetrics::Closed::kHeaderTimeout;
  return body ? NetMetrics::Closed::kBodyTimeout : NetMetrics::Closed::kWriteTimeout;
}

}  // namespace

std::shared_ptr<Connection> Connection::create(Parts parts) {
  const std::shared_ptr<Worker> worker = parts.worker;
  // The worker is kept by the connection itself; here it would keep itself, in its own queue.
  return {new Connection(std::move(parts)), [w = worker.get()](Connection* connection) {
            if (w->owns_this_thread()) {
              delete connection;
            } else {
              asio::post(
                  w->executor(),
                  [owned = std::unique_ptr<Connection>(connection)]() mutable { owned.reset(); });
            }
          }};
}

Connection::Connection(Parts parts)
    : Timed(*parts.worker),
      core_(std::move(parts.core)),
      worker_(std::move(parts.worker)),
      limits_(core_->limits()),
      service_(std::move(parts.service)),
      tls_context_(std::move(parts.tls)),
      transport_(std::move(parts.transport)),
      peer_(std::move(parts.peer)),
      slot_(std::move(parts.slot)) {
  worker_->connections().insert(this);
  core_->metrics.connection_opened();
}

Connection::~Connection() {
  worker_->connections().erase(this);
  core_->metrics.connection_closed();
}

void Connection::start() {
  asio::co_spawn(worker_->executor(), run(),
                 [self = shared_from_this()](const std::exception_ptr& failure) {
                   if (failure == nullptr) return;
                   // Only memory exhaustion gets here: handlers are caught where they are called.
                   self->core_->log.error("connection failed");
                   self->transport_.close();
                 });
}

void Connection::begin_stop() {
  keep_ = false;
  if (phase_ == Phase::kIdle) transport_.cancel();
  if (on_stop_) std::exchange(on_stop_, nullptr)();
}

void Connection::abort() {
  aborted_ = true;
  transport_.close();
  if (exchange_) exchange_->answer(error_response(503, "stopping"));
}

std::string Connection::take_unread() {
  std::string unread(buffered());
  buffer_.consume(buffer_.size());
  buffer_.shrink_to_fit();  // the connection may stay for days and reads elsewhere now
  return unread;
}

void Connection::on_due() {
  if (phase_ == Phase::kHandler) {
    core_->metrics.handler_failed();
    core_->log.write_bounded(telemetry::Level::kWarn, "no answer within the handler timeout",
                             {{"route", route_ != nullptr ? route_->pattern : ""}});
    if (exchange_) exchange_->answer(error_response(504, "no answer in time"));
    return;
  }
  if (phase_ != Phase::kLinger) {
    core_->metrics.connection_timed_out(
        closed_in(phase_ == Phase::kIdle, phase_ == Phase::kHead, phase_ == Phase::kBody));
  }
  timed_out_ = true;
  transport_.cancel();
}

Awaitable<void> Connection::run() {
  if (transport_.tls() != nullptr) {
    const bool ok = co_await handshake();
    if (!ok) {
      core_->metrics.tls_failed();
      transport_.close();
      co_return;
    }
  }
  Next next = Next::kAgain;
  while (next == Next::kAgain) next = co_await serve_one();
  if (next == Next::kClose) co_await finish();
}

Awaitable<bool> Connection::handshake() {
  phase_ = Phase::kHead;
  arm(limits_->header_timeout);
  const auto [ec] =
      co_await transport_.tls()->async_handshake(asio::ssl::stream_base::server, kAwait);
  co_return !ec && !aborted_;
}

void Connection::prepare_request() {
  request_.method.clear();
  request_.target.clear();
  request_.path.clear();
  request_.query.clear();
  request_.fields.clear();
  request_.body.clear();
  request_.client_address.clear();
  request_.path_args.clear();
  request_.trust = service_.trust;
  decision_ = {};
  route_ = nullptr;
}

Awaitable<Connection::Next> Connection::serve_one() {
  prepare_request();
  const HeadOutcome outcome = co_await read_head();
  started_us_ = core_->clock.monotonic_us();
  request_.received = core_->clock.wall();
  switch (outcome) {
    case HeadOutcome::kComplete:
      break;
    case HeadOutcome::kClosed:
      // Nothing is unread and no answer under way.
      linger_ = false;
      co_return Next::kClose;
    case HeadOutcome::kTimedOut:
      keep_ = false;
      co_return co_await answer(error_response(408, "the request took too long"));
    case HeadOutcome::kMalformed:
      co_return co_await answer(refuse(http::Refusal::kBadField));
    case HeadOutcome::kTooLarge:
      co_return co_await answer(refuse(http::Refusal::kFieldsTooLarge));
    case HeadOutcome::kTargetTooLong:
      co_return co_await answer(refuse(http::Refusal::kTargetTooLong));
  }
  ++num_requests_;
  RequestParser parser(request_);
  Response refusal;
  if (parse_head(parser, refusal) == Next::kClose) co_return co_await answer(std::move(refusal));
  // Before the gate, so that what it refuses is counted under the route that it was for.
  Match match = service_.router->match(request_.method, http::path_of(request_.target));
  route_ = match.route;
  if (consult_gate(parser, refusal) == Next::kClose) co_return co_await answer(std::move(refusal));

  if (decision_.body == gate::Decision::Body::kPresent) {
    const unsigned status = co_await read_body(parser);
    if (status == 408) {
      keep_ = false;
      co_return co_await answer(error_response(408, "the request took too long"));
    }
    if (status == 413) co_return co_await answer(refuse(http::Refusal::kBodyTooLarge));
    if (status == 400) co_return co_await answer(refuse(http::Refusal::kBadFraming));
    if (status != 200) co_return Next::kClose;
  }
  if (num_requests_ >= limits_->requests_per_connection) keep_ = false;

  if (match.route == nullptr) {
    Response missing = error_response(match.status, status_text(match.status));
    if (!match.allow.empty()) missing.fields.push_back({"Allow", match.allow});
    co_return co_await answer(std::move(missing));
  }
  request_.path_args = std::move(match.path_args);
  if (!may_call(*route_, request_.trust, decision_)) {
    co_return co_await answer(refuse(http::Refusal::kUnauthorized));
  }
  co_return co_await call_handler(*route_);
}

Awaitable<Connection::HeadOutcome> Connection::read_head() {
  HeadScanner scanner;
  phase_ = Phase::kIdle;
  timed_out_ = false;
  bool skipped_empty_line = false;
  arm(num_requests_ == 0 ? limits_->header_timeout : limits_->idle_timeout);
  for (;;) {
    if (buffer_.size() > 0 && phase_ == Phase::kIdle) {
      phase_ = Phase::kHead;
      arm(limits_->header_timeout);
    }
    // One empty line before a request is tolerated (RFC 9112 section 2.2).
    if (!skipped_empty_line && buffered().starts_with("\r\n")) {
      buffer_.consume(2);
      skipped_empty_line = true;
      scanner = {};
    }
    const HeadScanner::State state = scanner.scan(buffered());
    if (state == HeadScanner::State::kMalformed) co_return HeadOutcome::kMalformed;
    const bool complete = state == HeadScanner::State::kComplete;
    const size_t len = complete ? scanner.head_len() : buffer_.size();
    if (len > limits_->header_bytes) {
      const size_t line = scanner.request_line_len();
      const bool in_target = line == 0 || line > limits_->header_bytes;
      co_return in_target ? HeadOutcome::kTargetTooLong : HeadOutcome::kTooLarge;
    }
    if (complete) {
      head_len_ = len;
      co_return HeadOutcome::kComplete;
    }
    if (phase_ == Phase::kIdle && (!keep_ || core_->stopping)) co_return HeadOutcome::kClosed;
    if (!out_.empty()) {
      const bool sent = co_await flush();
      if (!sent) co_return HeadOutcome::kClosed;
      arm(phase_ == Phase::kIdle ? limits_->idle_timeout : limits_->header_timeout);
    }
    const bool more = co_await read_more(kReadSize);
    if (!more) {
      const bool slow = timed_out_ && phase_ == Phase::kHead;
      co_return slow ? HeadOutcome::kTimedOut : HeadOutcome::kClosed;
    }
  }
}

// Adds to the buffer; false at the end, on an error and when the deadline has passed.
Awaitable<bool> Connection::read_more(size_t most) {
  const auto into = buffer_.prepare(most);
  const auto [ec, n] = co_await transport_.async_read_some(into, kAwait);
  if (!ec) buffer_.commit(n);
  co_return !ec && !timed_out_ && !aborted_;
}

Connection::Next Connection::parse_head(RequestParser& parser, Response& refusal) {
  parser.header_limit(static_cast<uint32_t>(limits_->header_bytes) + 1);
  parser.body_limit(limits_->body_bytes);
  boost::beast::error_code ec;
  buffer_.consume(parser.put(asio::const_buffer(buffered().data(), head_len_), ec));
  if (ec == bhttp::error::need_more) ec = {};
  if (!ec && parser.is_header_done()) {
    const bool chunked_1_0 = parser.version() < 11 && parser.chunked();
    if (!chunked_1_0) return Next::kAgain;
    refusal = refuse(http::Refusal::kBadFraming);
  } else if (ec == bhttp::error::body_limit) {
    refusal = refuse(http::Refusal::kBodyTooLarge);
  } else if (ec == bhttp::error::header_limit) {
    refusal = refuse(http::Refusal::kFieldsTooLarge);
  } else if (ec == bhttp::error::bad_version) {
    keep_ = false;
    refusal = error_response(505, "HTTP/1.1 is spoken here");
  } else if (ec == bhttp::error::bad_method) {
    refusal = refuse(http::Refusal::kBadMethod);
  } else if (ec == bhttp::error::bad_target) {
    refusal = refuse(http::Refusal::kBadTarget);
  } else {
    refusal = refuse(http::Refusal::kBadField);
  }
  return Next::kClose;
}

Connection::Next Connection::consult_gate(const RequestParser& parser, Response& refusal) {
  if (wants_close(parser.version())) keep_ = false;
  decision_ =
      service_.gatekeeper->decide({request_, peer_.address, service_.trust, request_.received});
  core_->metrics.decided(decision_);
  request_.client_address = decision_.client_address.view();
  if (decision_.verdict == gate::Verdict::kRefuse) {
    refusal = service_.gatekeeper->refusal(request_, decision_);
    // A body that nobody will read stands between this request and the next one; and a request
    // whose framing is in doubt is the last one.
    if (parser.chunked() || parser.content_length_remaining().value_or(0) > 0 ||
        refusal.status == 400) {
      keep_ = false;
    }
    return Next::kClose;
  }
  note_signature();
  const std::string_view path = http::path_of(request_.target);
  // The gate has checked every escape.
  request_.path = percent_decode(path, Plus::kIsPlus).value_or(std::string());
  if (path.size() < request_.target.size())
    request_.query = request_.target.substr(path.size() + 1);
  return Next::kAgain;
}

void Connection::note_signature() {
  request_.edge.signature = signature_name(decision_.signature);
  request_.edge.age.reset();
  if (decision_.signature != token::SignatureVerdict::kValid) return;
  // "v3.<unix ms>....": sound, because it verified.
  const std::string_view text = request_.field("x-edge-signature").value_or("");
  int64_t signed_at = 0;
  const size_t start = std::min<size_t>(3, text.size());
  std::from_chars(text.data() + start, text.data() + text.size(), signed_at);
  request_.edge.age = request_.received - wall_time_ms(signed_at);
}

Awaitable<unsigned> Connection::read_body(RequestParser& parser) {
  phase_ = Phase::kBody;
  timed_out_ = false;
  arm(limits_->body_timeout);
  if (const auto expect = request_.field("expect"); expect && same_name(*expect, "100-continue")) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
  parser.eager(true);
  const size_t least = parser.chunked() ? kLeastChunkedBytes : 0;
  while (!parser.is_done()) {
    boost::beast::error_code ec;
    if (buffer_.size() >= least) buffer_.consume(parser.put(buffer_.data(), ec));
    if (parser.is_done()) break;
    if (ec == bhttp::error::body_limit) co_return 413;
    if (ec && ec != bhttp::error::need_more) co_return 400;
    // A chunk's header or a trailer that fills the buffer is none of a good client.
    if (buffer_.size() >= kBodyReadSize) co_return 400;
    if (!out_.empty()) {
      const bool sent = co_await flush();
      if (!sent) co_return 0;
      phase_ = Phase::kBody;
      arm(limits_->body_timeout);
    }
    const bool more = co_await read_more(kBodyReadSize - buffer_.size());
    if (!more) co_return timed_out_ ? 408U : 0U;
  }
  disarm();
  co_return 200;
}

Awaitable<Connection::Next> Connection::call_handler(const Route& route) {
  exchange_ = std::make_shared<Exchange>(worker_);
  if (route.upgrade) {
    if (!asks_for_upgrade(request_)) {
      Response required = error_response(426, "this path needs an Upgrade");
      exchange_.reset();
      co_return co_await answer(std::move(required));
    }
    const bool sent = co_await flush();
    if (!sent) co_return Next::kClose;
  }
  phase_ = Phase::kHandler;
  arm(limits_->handler_timeout);
  invoke(route, exchange_);
  if (!exchange_->done()) {
    // What is answered already does not wait for this one.
    const bool sent = co_await flush();
    if (!sent) {
      exchange_->answer({});
      co_return Next::kClose;
    }
    phase_ = Phase::kHandler;
    arm(limits_->handler_timeout);
    co_await exchange_->async_wait(asio::use_awaitable_t<Executor>{});
  }
  disarm();
  const std::shared_ptr<Exchange> done = std::exchange(exchange_, nullptr);
  if (done->outcome == Exchange::Outcome::kTaken) {
    phase_ = Phase::kTaken;
    note_answer(101, 0);
    co_return Next::kTaken;
  }
  if (aborted_) co_return Next::kClose;
  co_return co_await answer(std::move(done->response));
}

void Connection::invoke(const Route& route, const std::shared_ptr<Exchange>& exchange) {
  try {
    if (route.upgrade) {
      route.upgrade(make_upgrade(shared_from_this(), exchange, request_));
    } else {
      route.handler(request_, make_reply(exchange));
    }
  } catch (const std::exception& e) {
    core_->metrics.handler_failed();
    core_->log.error("handler threw", {{"route", route.pattern}, {"what", e.what()}});
    exchange->answer(error_response(500, "internal error"));
  }
}

bool Connection::wants_close(int version) const {
  return version < 11 || any_field_has(request_, "connection", "close");
}

Response Connection::refuse(http::Refusal refusal) {
  keep_ = false;
  decision_.refusal = refusal;
  core_->metrics.decided(decision_);
  return service_.gatekeeper->refusal(request_, decision_);
}

Awaitable<Connection::Next> Connection::answer(Response response) {
  const bool head_only = request_.method == "HEAD";
  HeadParts parts;
  parts.status = response.status;
  parts.fields = response.fields;
  parts.headers = http::policy_of(decision_.route).headers;
  parts.date = worker_->http_date(request_.received);
  if (decision_.signature == token::SignatureVerdict::kValid) parts.proof = decision_.answer_proof;
  if (!has_no_body(response.status)) parts.content_length = response.body.size();
  const bool close = !keep_ || core_->stopping;
  if (close) parts.after = HeadParts::After::kClose;
  const size_t before = out_.size();
  append_response_head(out_, parts);
  const bool send_body = !head_only && !has_no_body(response.status);
  bool sent = true;
  size_t bytes_out = out_.size() - before;
  if (send_body) {
    bytes_out += response.body.size();
    if (response.body.size() <= kCopySize) {
      out_ += response.body;
    } else {
      sent = co_await flush();
      if (sent) {
        out_ = std::move(response.body);
        sent = co_await flush();
      }
    }
  }
  const bool batch = !close && sent && buffer_.size() > 0 && out_.size() < kFlushSize;
  if (sent && !batch) sent = co_await flush();
  note_answer(response.status, bytes_out);
  co_return sent && !close ? Next::kAgain : Next::kClose;
}

void Connection::note_answer(unsigned status, size_t bytes_out) {
  const int64_t took_us = core_->clock.monotonic_us() - started_us_;
  core_->metrics.answered(route_, status, took_us, request_.body.size(), bytes_out);
  if (!core_->log.enabled(telemetry::Level::kInfo)) return;
  // Never the query, a field's value or a path: they may hold secrets, and clients choose them.
  const std::string_view method = http::method_name(decision_.method);
  const std::string_view route =
      route_ != nullptr ? std::string_view(route_->pattern) : "unmatched";
  const double ms = static_cast<double>(took_us) / 1000.0;
  const std::string& client =
      request_.client_address.empty() ? peer_.address : request_.client_address;
  using telemetry::Level;
  if (decision_.refusal == http::Refusal::kNone) {
    core_->log.write_bounded(Level::kInfo, "request",
                             {{"service", service_.name},
                              {"method", method},
                              {"route", route},
                              {"status", status},
                              {"ms", ms},
                              {"client", client}});
    return;
  }
  core_->log.write_bounded(Level::kInfo, "request",
                           {{"service", service_.name},
                            {"method", method},
                            {"route", route},
                            {"status", status},
                            {"refusal", http::refusal_text(decision_.refusal).name},
                            {"ms", ms},
                            {"client", client}});
}

// Sends what is collected. Each 64 KiB has the write timeout: a reader has a least speed.
Awaitable<bool> Connection::flush() {
  if (out_.empty()) co_return true;
  const Phase before = std::exchange(phase_, Phase::kWrite);
  timed_out_ = false;
  size_t at = 0;
  bool ok = true;
  while (ok && at < out_.size()) {
    arm(limits_->write_timeout);
    const size_t len = std::min(out_.size() - at, kFlushSize);
    const asio::const_buffer piece(out_.data() + at, len);
    const auto [ec, n] = co_await asio::async_write(transport_, piece, kAwait);
    at += n;
    ok = !ec && !timed_out_ && !aborted_;
  }
  if (out_.capacity() > 2 * kFlushSize) {
    out_ = {};
  } else {
    out_.clear();
  }
  phase_ = before;
  co_return ok;
}

// Ends the connection so that the last answer arrives: half-close, then read what still comes.
Awaitable<void> Connection::finish() {
  const bool sent = co_await flush();
  if (!sent || aborted_ || !linger_) {
    transport_.close();
    co_return;
  }
  phase_ = Phase::kLinger;
  timed_out_ = false;
  arm(kLingerTime);
  if (transport_.tls() != nullptr) {
    (void)co_await transport_.tls()->async_shutdown(kAwait);
  } else {
    transport_.shutdown_send();
    buffer_.consume(buffer_.size());
    size_t read = 0;
    while (read < kLingerBytes) {
      const bool more = co_await read_more(kReadSize);
      if (!more) break;
      read += buffer_.size();
      buffer_.consume(buffer_.size());
    }
  }
  disarm();
  transport_.close();
}

}  // namespace es::net

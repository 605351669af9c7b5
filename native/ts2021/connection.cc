#include "native/ts2021/connection.h"

#include "native/net/byte_stream.h"
#include "native/noise/early_payload.h"

#include <algorithm>
#include <utility>

namespace es::ts2021 {

namespace {

constexpr size_t kReadLen = 4U << 10U;      // a full record
constexpr size_t kWriteBatch = 64U << 10U;  // plaintext sealed at once
// Plaintext lives only inside one call: all connections of a thread share these.
thread_local std::vector<uint8_t> plain_in;
thread_local std::vector<uint8_t> plain_out;

// Writes one frame, then lets go of the stream. Owns both until the write is through.
void send_and_close(std::unique_ptr<net::ByteStream> stream, std::vector<uint8_t> frame) {
  struct Farewell {
    std::vector<uint8_t> frame;
    std::unique_ptr<net::ByteStream> stream;
  };
  auto farewell = std::make_shared<Farewell>(Farewell{std::move(frame), std::move(stream)});
  net::ByteStream& s = *farewell->stream;
  s.write(farewell->frame, [farewell](const Status&) {
    // Posted: the stream must not die in its own callback's frame.
    farewell->stream->post([farewell] { farewell->stream->close(); });
  });
}

}  // namespace

Status Connection::serve(std::unique_ptr<net::ByteStream> stream, const Keys& keys,
                         Bytes initiation, const Options& options, HalfOpen::Place place) {
  if (!stream) return reconnect("the connection has ended");
  stream->set_timeouts(options.preface_timeout, options.write_timeout);
  const auto accepted = noise::respond(keys.static_private, keys.ephemeral_private, initiation);
  if (!accepted.ok()) {
    if (accepted.error().reply == noise::HandshakeError::Reply::kErrorFrame) {
      std::vector<uint8_t> frame;
      noise::append_error_frame(accepted.error().error.what, frame);
      send_and_close(std::move(stream), std::move(frame));
    }
    return accepted.error().error;
  }
  const std::shared_ptr<Connection> self(
      new Connection(std::move(stream), accepted->session, options));
  if (place != nullptr) self->network_ = HalfOpen::network_of(place);
  self->place_ = std::move(place);
  return self->start(accepted->response, keys.challenge_public);
}

Connection::Connection(std::unique_ptr<net::ByteStream> stream, const noise::Session& session,
                       const Options& options)
    : session_(session), options_(options), input_(kReadLen), stream_(std::move(stream)) {}

Connection::~Connection() = default;

Status Connection::start(Bytes response, const std::optional<noise::Key>& challenge_public) {
  ES_TRY(noise::RecordSender sender, noise::RecordSender::create(session_.send_key));
  ES_TRY(noise::RecordReceiver receiver, noise::RecordReceiver::create(session_.receive_key));
  sender_.emplace(std::move(sender));
  receiver_.emplace(std::move(receiver));
  wipe(session_.send_key);
  wipe(session_.receive_key);
  handler_ = options_.make_handler(shared_from_this());
  ES_TRY(
      h2::ServerSession http,
      h2::ServerSession::create(
          standing_ == Standing::kKnown ? options_.limits : options_.stranger_limits, *handler_));
  http_.emplace(std::move(http));

  output_.assign(response.begin(), response.end());
  if (challenge_public) {
    std::vector<uint8_t> payload;
    noise::append_early_payload(*challenge_public, payload);
    ES_CHECK(sender_->seal(payload, output_));
  }
  stream_->on_server_stop([self = weak_from_this()] {
    if (const auto connection = self.lock()) connection->shutdown();
  });
  if (options_.deadlines != nullptr) {
    alarm_ = options_.deadlines->add(from_any_thread(&Connection::check_deadlines));
    known_by_ = options_.clock() + options_.preface_timeout;
    set_alarm();
  }
  if (place_ != nullptr) {
    options_.half_open->on_evicted(place_, from_any_thread(&Connection::give_way));
  }
  pump();
  read();
  return {};
}

std::function<void()> Connection::from_any_thread(void (Connection::*task)()) {
  return [weak = weak_from_this(), task] {
    auto self = weak.lock();
    if (self == nullptr) return;
    // The task holds it: it must die on its strand.
    Connection& connection = *self;
    connection.stream_->post([held = std::move(self), task] { (held.get()->*task)(); });
  };
}

void Connection::set_standing(Standing standing) {
  if (standing_ == Standing::kKnown || standing == standing_) return;
  if (standing == Standing::kWaiting) {
    // Who finds no place there may come back as often as it likes.
    if (place_ != nullptr && !options_.half_open->wait(place_, options_.clock())) return;
    known_by_ = Millis::max();
  } else if (standing_ == Standing::kWaiting) {
    if (place_ != nullptr) options_.half_open->wait_no_more(place_, options_.clock());
    known_by_ = options_.clock() + options_.stranger_timeout;
  }
  standing_ = standing;
  if (standing == Standing::kKnown) {
    if (http_) http_->set_limits(options_.limits);
    if (place_ != nullptr) options_.half_open->keep(place_);
    if (greeted_) trust();
  }
  set_alarm();
}

// An initiation may be somebody else's, sent again: only who goes on with it is who it seems to be.
void Connection::trust() {
  place_.reset();
  known_by_ = Millis::max();
}

void Connection::post(std::function<void()> task) {
  stream_->post([self = weak_from_this(), task = std::move(task)] {
    const auto connection = self.lock();
    if (connection && !connection->ended_) task();
  });
}

void Connection::flush() {
  if (!in_event_) pump();
}

void Connection::shutdown() {
  if (ended_) return;
  http_->shutdown();
  if (!in_event_) {
    in_event_ = true;
    handler_->on_shutdown();
    in_event_ = false;
    if (closing_) return end();
  }
  flush();
}

void Connection::close() {
  if (in_event_) {
    closing_ = true;
  } else {
    end();
  }
}

// The pending read holds the connection; when it ends without another, the connection dies.
void Connection::read() {
  stream_->read_some(input_,
                     [self = shared_from_this()](Result<size_t> len) { self->on_read(len); });
}

void Connection::on_read(const Result<size_t>& len) {
  if (ended_) return;
  if (!len.ok() || *len == 0) return end();
  if (leaving_) return;
  plain_in.clear();
  const Status opened = receiver_->open(Bytes(input_).first(*len), plain_in);
  if (!greeted_ && !plain_in.empty()) {
    greeted_ = true;
    stream_->set_timeouts(Millis(0), options_.write_timeout);
    if (standing_ == Standing::kKnown) {
      trust();
    } else {
      known_by_ = options_.clock() + options_.stranger_timeout;
    }
  }
  in_event_ = true;
  const Status received = http_->receive(plain_in, options_.clock());
  in_event_ = false;
  if (closing_) return end();
  // What does not authenticate gets no answer; HTTP/2 errors have a GOAWAY to flush.
  if (!opened.ok()) return end();
  broken_ = !received.ok();
  set_alarm();
  pump();
  if (!broken_ && !ended_) read();
}

void Connection::set_alarm() {
  if (alarm_ == nullptr || ended_) return;
  alarm_->set(std::min(known_by_, http_ ? http_->next_deadline() : Millis::max()));
}

void Connection::check_deadlines() {
  if (ended_ || leaving_) return;
  const Millis now = options_.clock();
  if (known_by_ <= now) return leave();
  in_event_ = true;
  http_->expire(now);
  in_event_ = false;
  if (closing_) return end();
  set_alarm();
  pump();
}

// Somebody else has its place already. It may have become known meanwhile.
void Connection::give_way() {
  if (ended_ || leaving_ || place_ == nullptr) return;
  // Nobody waits for a client that does not read.
  if (writing_) return end();
  leave();
}

void Connection::leave() {
  if (!greeted_) return end();
  leaving_ = broken_ = true;
  http_->shutdown();
  pump();
}

void Connection::pump() {
  if (writing_ || ended_) return;
  plain_out.clear();
  in_event_ = true;  // on_writable() and on_closed() may answer from inside take_output()
  http_->take_output(kWriteBatch, plain_out);
  in_event_ = false;
  if (closing_) return end();
  if (!sender_->seal(plain_out, output_).ok()) return end();
  if (output_.empty()) {
    if (broken_ || http_->wants_close()) end();
    return;
  }
  writing_ = true;
  stream_->write(output_,
                 [self = shared_from_this()](const Status& status) { self->on_written(status); });
}

void Connection::on_written(const Status& status) {
  writing_ = false;
  if (ended_) return;
  if (!status.ok()) return end();
  // Most connections are silent most of the time, and there are many.
  std::vector<uint8_t>().swap(output_);
  pump();
}

void Connection::end() {
  if (std::exchange(ended_, true)) return;
  place_.reset();
  alarm_.reset();
  http_->abort();
  stream_->close();
}

}  // namespace es::ts2021

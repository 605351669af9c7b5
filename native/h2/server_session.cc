#include "native/h2/server_session.h"

#include "native/h2/nghttp2_glue.h"
#include "native/h2/outgoing_body.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

namespace es::h2 {

namespace {

constexpr uint32_t kMaxUnackedSettingsAndPings = 1000;
constexpr size_t kFrameHeaderLen = 9;

struct Stream {
  Request request;
  size_t num_headers = 0;
  size_t header_bytes = 0;
  size_t body_bytes = 0;
  Millis deadline{0};  // of the whole request
  bool headers_too_large = false;
  bool announced = false;  // the handler knows it
  bool request_ended = false;
  bool refused = false;  // by us: what still comes of its body is dropped
  bool responded = false;
  bool full = false;      // the handler waits for on_writable()
  bool deferred = false;  // nghttp2 waits for resume
  OutgoingBody body;
  size_t counted = 0;  // of its body, in the session's sum
};

}  // namespace

class ServerSession::Impl {
 public:
  Impl(const ServerLimits& limits, ServerHandler& handler)
      : limits_(limits),
        handler_(handler),
        resets_(limits.resets_per_second, limits.resets_burst),
        control_(limits.control_per_second, limits.control_burst) {}

  Status init();
  Status receive(Bytes stream, Millis now);
  Millis next_deadline() const;
  void expire(Millis now);
  void set_limits(const ServerLimits& limits) {
    limits_ = limits;
    announce_limits();
  }
  bool take_output(size_t enough, std::vector<uint8_t>& out) {
    output_ = &out;
    enough_ = enough;
    const bool any = drain(session_.get(), enough, out);
    output_ = nullptr;
    return any;
  }
  bool wants_close() const {
    return nghttp2_session_want_read(session_.get()) == 0 &&
           nghttp2_session_want_write(session_.get()) == 0;
  }
  bool respond(StreamId id, const Response& response, HasBody has_body);
  Write write(StreamId id, std::span<const Chunk> chunks);
  void finish(StreamId id);
  size_t buffered(StreamId id) const {
    const auto it = streams_.find(id);
    return it == streams_.end() ? 0 : it->second.body.buffered();
  }
  void reset(StreamId id, ErrorCode code) {
    if (streams_.contains(id)) {
      nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, static_cast<uint32_t>(code));
    }
  }
  void shutdown() {
    nghttp2_submit_shutdown_notice(session_.get());
    nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  }
  void abort();
  size_t num_streams() const { return streams_.size(); }

 private:
  Stream* find(StreamId id) {
    const auto it = streams_.find(id);
    return it == streams_.end() ? nullptr : &it->second;
  }

  bool announce_limits();
  void on_begin_headers(const nghttp2_frame& frame);
  void on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  void on_frame(const nghttp2_frame& frame);
  void on_data(StreamId id, Bytes piece);
  void on_sent(const nghttp2_frame& frame);
  void on_close(StreamId id, uint32_t code);
  ssize_t offer_body(StreamId id, size_t most, uint32_t* flags);
  int send_body(StreamId id, Bytes frame_header, size_t len);

  void announce(StreamId id, Stream& stream, HasBody has_body);
  void end_request(StreamId id, Stream& stream);
  void refuse(StreamId id, Stream& stream, int status);
  void count(RateLimit& limit);
  void count_body(Stream& stream);
  void resume(StreamId id, Stream& stream);

  static Impl* self(void* user_data) { return static_cast<Impl*>(user_data); }

  ServerLimits limits_;
  ServerHandler& handler_;
  SessionHandle session_;
  std::unordered_map<StreamId, Stream> streams_;
  size_t unfinished_bytes_ = 0;
  size_t response_bytes_ = 0;  // what counts against max_session_buffer
  size_t num_requests_ = 0;
  RateLimit resets_;
  RateLimit control_;
  Millis now_{0};
  bool flooded_ = false;
  std::vector<uint8_t>* output_ = nullptr;  // of the take_output() that runs
  size_t enough_ = 0;
};

Status ServerSession::Impl::init() {
  nghttp2_session_callbacks* raw_callbacks = nullptr;
  nghttp2_option* raw_option = nullptr;
  if (nghttp2_session_callbacks_new(&raw_callbacks) != 0) return bug("no memory for HTTP/2");
  const CallbacksHandle callbacks(raw_callbacks);
  if (nghttp2_option_new(&raw_option) != 0) return bug("no memory for HTTP/2");
  const OptionHandle option(raw_option);
  nghttp2_option_set_max_outbound_ack(option.get(), kMaxUnackedSettingsAndPings);
  nghttp2_option_set_no_closed_streams(option.get(), 1);

  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks.get(), [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        self(user)->on_begin_headers(*frame);
        return 0;
      });
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks.get(),
      [](nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_len,
         const uint8_t* value, size_t value_len, uint8_t, void* user) {
        self(user)->on_header(*frame, text_of(name, name_len), text_of(value, value_len));
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks.get(), [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        self(user)->on_frame(*frame);
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks.get(),
      [](nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t len, void* user) {
        self(user)->on_data(id, {data, len});
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      callbacks.get(), [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        self(user)->on_sent(*frame);
        return 0;
      });
  // Bodies go from their chunks to the output without a copy in nghttp2's frame buffer.
  nghttp2_session_callbacks_set_send_data_callback(
      callbacks.get(), [](nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t len,
                          nghttp2_data_source*, void* user) {
        return self(user)->send_body(frame->hd.stream_id, {header, kFrameHeaderLen}, len);
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks.get(), [](nghttp2_session*, int32_t id, uint32_t code, void* user) {
        self(user)->on_close(id, code);
        return 0;
      });

  nghttp2_session* raw_session = nullptr;
  if (nghttp2_session_server_new2(&raw_session, callbacks.get(), this, option.get()) != 0) {
    return bug("no memory for HTTP/2");
  }
  session_.reset(raw_session);
  if (!announce_limits() ||
      nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                            static_cast<int32_t>(limits_.connection_window)) != 0) {
    return bug("HTTP/2 settings");
  }
  return {};
}

bool ServerSession::Impl::announce_limits() {
  const std::array<nghttp2_settings_entry, 3> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.max_concurrent_streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(limits_.max_header_bytes)}}};
  return nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings.data(),
                                 settings.size()) == 0;
}

Status ServerSession::Impl::receive(Bytes stream, Millis now) {
  if (flooded_) return reconnect("the HTTP/2 peer sends too many control frames");
  now_ = now;
  const ssize_t taken = nghttp2_session_mem_recv(session_.get(), stream.data(), stream.size());
  if (flooded_) return reconnect("the HTTP/2 peer sends too many control frames");
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) return reconnect("no HTTP/2 client preface");
  if (taken < 0) return reconnect("the HTTP/2 connection is broken");
  return {};
}

void ServerSession::Impl::on_begin_headers(const nghttp2_frame& frame) {
  if (frame.headers.cat != NGHTTP2_HCAT_REQUEST) return;
  streams_[frame.hd.stream_id].deadline = now_ + limits_.request_timeout;
  if (++num_requests_ == limits_.max_requests) shutdown();
}

Millis ServerSession::Impl::next_deadline() const {
  Millis next = Millis::max();
  for (const auto& [id, stream] : streams_) {
    if (!stream.request_ended && !stream.refused) next = std::min(next, stream.deadline);
  }
  return next;
}

void ServerSession::Impl::expire(Millis now) {
  now_ = now;
  std::vector<StreamId> late;
  for (const auto& [id, stream] : streams_) {
    if (!stream.request_ended && !stream.refused && stream.deadline <= now) late.push_back(id);
  }
  for (const StreamId id : late) {
    Stream* const stream = find(id);
    if (stream == nullptr) continue;
    // Inside a header block nothing but its rest may come: there is no going on without it.
    if (!stream->announced) {
      nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
      return;
    }
    refuse(id, *stream, 408);
  }
}

void ServerSession::Impl::on_header(const nghttp2_frame& frame, std::string_view name,
                                    std::string_view value) {
  Stream* const stream = find(frame.hd.stream_id);
  // Trailers are not needed by anybody here.
  if (stream == nullptr || frame.headers.cat != NGHTTP2_HCAT_REQUEST) return;
  ++stream->num_headers;
  stream->header_bytes += name.size() + value.size();
  if (stream->num_headers > limits_.max_headers ||
      stream->header_bytes > limits_.max_header_bytes) {
    stream->headers_too_large = true;
    return;
  }
  Request& request = stream->request;
  if (name == ":method") {
    request.method = value;
  } else if (name == ":path") {
    request.path = value;
  } else if (name == ":authority") {
    request.authority = value;
  } else if (name == ":scheme") {
    request.scheme = value;
  } else if (!name.starts_with(':')) {
    request.headers.push_back({std::string(name), std::string(value)});
  }
}

void ServerSession::Impl::on_frame(const nghttp2_frame& frame) {
  const bool is_ack = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      return count(resets_);
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
      if (!is_ack) count(control_);
      return;
    case NGHTTP2_PRIORITY:
      return count(control_);
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
      break;
    default:
      return;
  }
  if (frame.hd.type == NGHTTP2_DATA && frame.hd.length == 0 && !ends) count(control_);
  Stream* const stream = find(frame.hd.stream_id);
  if (stream == nullptr) return;
  const bool ended_now = ends && !stream->request_ended;
  if (ends) stream->request_ended = true;
  if (frame.hd.type == NGHTTP2_HEADERS && !stream->announced && !stream->refused) {
    announce(frame.hd.stream_id, *stream, ends ? HasBody::kNo : HasBody::kYes);
  }
  if (ended_now) end_request(frame.hd.stream_id, *stream);
}

void ServerSession::Impl::announce(StreamId id, Stream& stream, HasBody has_body) {
  if (stream.headers_too_large) return refuse(id, stream, 431);
  if (const auto text = find_header(stream.request.headers, "content-length")) {
    uint64_t len = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), len);
    const bool is_number = error == std::errc() && end == text->data() + text->size();
    if (!is_number) return refuse(id, stream, 400);
    if (len > limits_.max_body_bytes) return refuse(id, stream, 413);
  }
  stream.announced = true;
  handler_.on_request(id, std::move(stream.request), has_body);
}

// Answers in the handler's place, if it did not answer yet, and takes no more of the request:
// RFC 9113 8.1 lets a server that has answered reset the rest with NO_ERROR.
void ServerSession::Impl::refuse(StreamId id, Stream& stream, int status) {
  stream.refused = true;
  unfinished_bytes_ -= stream.body_bytes;
  stream.body_bytes = 0;
  const bool answers = respond(id, {.status = status, .headers = {}}, HasBody::kNo);
  if (!answers && !stream.request_ended) reset(id, ErrorCode::kEnhanceYourCalm);
}

// nghttp2 drops what still waits on a stream once its reset is submitted, so the reset behind a
// refusal is submitted when the refusal has left.
void ServerSession::Impl::on_sent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS) return;
  const Stream* const stream = find(frame.hd.stream_id);
  if (stream == nullptr || !stream->refused || stream->request_ended) return;
  reset(frame.hd.stream_id, ErrorCode::kNoError);
}

void ServerSession::Impl::on_data(StreamId id, Bytes piece) {
  Stream* const stream = find(id);
  if (stream == nullptr || stream->refused || !stream->announced) return;
  stream->body_bytes += piece.size();
  unfinished_bytes_ += piece.size();
  if (stream->body_bytes > limits_.max_body_bytes ||
      unfinished_bytes_ > limits_.max_unfinished_bytes) {
    return refuse(id, *stream, 413);
  }
  handler_.on_body(id, piece);
}

void ServerSession::Impl::end_request(StreamId id, Stream& stream) {
  unfinished_bytes_ -= stream.body_bytes;
  stream.body_bytes = 0;
  if (stream.announced && !stream.refused) handler_.on_request_end(id);
}

void ServerSession::Impl::on_close(StreamId id, uint32_t code) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  const bool announced = it->second.announced;
  unfinished_bytes_ -= it->second.body_bytes;
  response_bytes_ -= it->second.counted;
  streams_.erase(it);
  if (announced) handler_.on_closed(id, static_cast<ErrorCode>(code));
}

void ServerSession::Impl::count(RateLimit& limit) {
  if (flooded_ || limit.take(now_)) return;
  flooded_ = true;
  nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
}

bool ServerSession::Impl::respond(StreamId id, const Response& response, HasBody has_body) {
  Stream* const stream = find(id);
  if (stream == nullptr || stream->responded) return false;
  stream->responded = true;
  const std::string status = std::to_string(response.status);
  std::vector<nghttp2_nv> fields;
  fields.reserve(response.headers.size() + 1);
  fields.push_back(name_value(":status", status));
  for (const Header& h : response.headers) fields.push_back(name_value(h.name, h.value));
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, int32_t stream_id, uint8_t*, size_t len,
                              uint32_t* flags, nghttp2_data_source* source, void*) {
    return static_cast<Impl*>(source->ptr)->offer_body(stream_id, len, flags);
  };
  const bool with_body = has_body == HasBody::kYes;
  return nghttp2_submit_response(session_.get(), id, fields.data(), fields.size(),
                                 with_body ? &provider : nullptr) == 0;
}

ssize_t ServerSession::Impl::offer_body(StreamId id, size_t most, uint32_t* flags) {
  Stream* const stream = find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const size_t len = std::min(most, stream->body.buffered());
  if (len == stream->body.buffered() && stream->body.finished()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
  } else if (len == 0) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  return static_cast<ssize_t>(len);
}

int ServerSession::Impl::send_body(StreamId id, Bytes frame_header, size_t len) {
  Stream* const stream = find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  output_->insert(output_->end(), frame_header.begin(), frame_header.end());
  stream->body.append_to(*output_, len);
  count_body(*stream);
  if (stream->full && stream->body.buffered() <= limits_.max_response_buffer / 2) {
    stream->full = false;
    handler_.on_writable(id);
  }
  return output_->size() >= enough_ ? NGHTTP2_ERR_PAUSE : 0;
}

Write ServerSession::Impl::write(StreamId id, std::span<const Chunk> chunks) {
  Stream* const stream = find(id);
  if (stream == nullptr || stream->refused || stream->body.finished()) return Write::kGone;
  if (stream->body.buffered() >= limits_.max_response_buffer) {
    stream->full = true;
    return Write::kFull;
  }
  if (response_bytes_ >= limits_.max_session_buffer) {
    stream->refused = true;
    reset(id, ErrorCode::kEnhanceYourCalm);
    return Write::kGone;
  }
  for (const Chunk& chunk : chunks) stream->body.push(chunk);
  count_body(*stream);
  resume(id, *stream);
  return Write::kTaken;
}

// A message may be larger than a stream's buffer, and a slow client that waits for one of those is
// no offender: a stream counts as full at most.
void ServerSession::Impl::count_body(Stream& stream) {
  response_bytes_ -= stream.counted;
  stream.counted = std::min(stream.body.buffered(), limits_.max_response_buffer);
  response_bytes_ += stream.counted;
}

void ServerSession::Impl::finish(StreamId id) {
  Stream* const stream = find(id);
  if (stream == nullptr) return;
  stream->body.finish();
  resume(id, *stream);
}

void ServerSession::Impl::resume(StreamId id, Stream& stream) {
  if (!stream.deferred) return;
  stream.deferred = false;
  nghttp2_session_resume_data(session_.get(), id);
}

void ServerSession::Impl::abort() {
  auto streams = std::exchange(streams_, {});
  unfinished_bytes_ = 0;
  response_bytes_ = 0;
  for (const auto& [id, stream] : streams) {
    if (stream.announced) handler_.on_closed(id, ErrorCode::kCancel);
  }
}

Result<ServerSession> ServerSession::create(const ServerLimits& limits, ServerHandler& handler) {
  auto impl = std::make_unique<Impl>(limits, handler);
  ES_CHECK(impl->init());
  return ServerSession(std::move(impl));
}

ServerSession::ServerSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerSession::ServerSession(ServerSession&&) noexcept = default;
ServerSession& ServerSession::operator=(ServerSession&&) noexcept = default;
ServerSession::~ServerSession() = default;

Status ServerSession::receive(Bytes stream, Millis now) { return impl_->receive(stream, now); }
Millis ServerSession::next_deadline() const { return impl_->next_deadline(); }
void ServerSession::expire(Millis now) { impl_->expire(now); }
void ServerSession::set_limits(const ServerLimits& limits) { impl_->set_limits(limits); }
bool ServerSession::take_output(size_t enough, std::vector<uint8_t>& out) {
  return impl_->take_output(enough, out);
}
bool ServerSession::wants_close() const { return impl_->wants_close(); }
bool ServerSession::respond(StreamId id, const Response& response, HasBody has_body) {
  return impl_->respond(id, response, has_body);
}
Write ServerSession::write(StreamId id, const Chunk& chunk) {
  return impl_->write(id, {&chunk, 1});
}
Write ServerSession::write(StreamId id, const std::vector<Chunk>& chunks) {
  return impl_->write(id, chunks);
}
void ServerSession::finish(StreamId id) { impl_->finish(id); }
size_t ServerSession::buffered(StreamId id) const { return impl_->buffered(id); }
void ServerSession::reset(StreamId id, ErrorCode code) { impl_->reset(id, code); }
void ServerSession::shutdown() { impl_->shutdown(); }
void ServerSession::abort() { impl_->abort(); }
size_t ServerSession::num_streams() const { return impl_->num_streams(); }

}  // namespace es::h2

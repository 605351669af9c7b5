#include "native/h2/client_session.h"

#include "native/h2/nghttp2_glue.h"
#include "native/h2/outgoing_body.h"

#include <array>
#include <charconv>
#include <unordered_map>
#include <utility>

namespace es::h2 {

namespace {

constexpr uint32_t kStreamWindow = 4U << 20U;
constexpr int32_t kConnectionWindow = 1 << 30;

struct Stream {
  Response response;
  OutgoingBody body;
};

}  // namespace

class ClientSession::Impl {
 public:
  explicit Impl(ClientEvents& events) : events_(events) {}

  Status init(Windows windows);
  Status receive(Bytes stream) {
    if (nghttp2_session_mem_recv(session_.get(), stream.data(), stream.size()) < 0) {
      return reconnect("the HTTP/2 connection is broken");
    }
    return {};
  }
  nghttp2_session* session() const { return session_.get(); }
  Result<StreamId> request(const Request& request, Chunk body);

 private:
  static Impl* self(void* user_data) { return static_cast<Impl*>(user_data); }
  Stream* find(StreamId id) {
    const auto it = streams_.find(id);
    return it == streams_.end() ? nullptr : &it->second;
  }
  void on_header(const nghttp2_frame& frame, std::string_view name, std::string_view value);
  void on_frame(const nghttp2_frame& frame);
  void on_close(StreamId id, uint32_t code) {
    if (streams_.erase(id) > 0) events_.on_closed(id, static_cast<ErrorCode>(code));
  }

  ClientEvents& events_;
  SessionHandle session_;
  std::unordered_map<StreamId, Stream> streams_;
};

Status ClientSession::Impl::init(Windows windows) {
  nghttp2_session_callbacks* raw_callbacks = nullptr;
  nghttp2_option* raw_option = nullptr;
  if (nghttp2_session_callbacks_new(&raw_callbacks) != 0) return bug("no memory for HTTP/2");
  const CallbacksHandle callbacks(raw_callbacks);
  if (nghttp2_option_new(&raw_option) != 0) return bug("no memory for HTTP/2");
  const OptionHandle option(raw_option);
  if (windows == Windows::kManual) nghttp2_option_set_no_auto_window_update(option.get(), 1);

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
        self(user)->events_.on_body(id, {data, len});
        return 0;
      });
  nghttp2_session_callbacks_set_on_stream_close_callback(
      callbacks.get(), [](nghttp2_session*, int32_t id, uint32_t code, void* user) {
        self(user)->on_close(id, code);
        return 0;
      });
  nghttp2_session* raw_session = nullptr;
  if (nghttp2_session_client_new2(&raw_session, callbacks.get(), this, option.get()) != 0) {
    return bug("no memory for HTTP/2");
  }
  session_.reset(raw_session);
  const std::array<nghttp2_settings_entry, 2> settings{
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}}};
  if (nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings.data(),
                              settings.size()) != 0 ||
      nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, 0,
                                            kConnectionWindow) != 0) {
    return bug("HTTP/2 settings");
  }
  return {};
}

void ClientSession::Impl::on_header(const nghttp2_frame& frame, std::string_view name,
                                    std::string_view value) {
  Stream* const stream = find(frame.hd.stream_id);
  if (stream == nullptr || frame.headers.cat == NGHTTP2_HCAT_REQUEST) return;
  if (name == ":status") {
    std::from_chars(value.data(), value.data() + value.size(), stream->response.status);
  } else {
    stream->response.headers.push_back({std::string(name), std::string(value)});
  }
}

void ClientSession::Impl::on_frame(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    events_.on_goaway(static_cast<ErrorCode>(frame.goaway.error_code));
    return;
  }
  if (frame.hd.type != NGHTTP2_HEADERS) return;
  Stream* const stream = find(frame.hd.stream_id);
  if (stream == nullptr || frame.headers.cat != NGHTTP2_HCAT_RESPONSE) return;
  events_.on_response(frame.hd.stream_id, std::move(stream->response));
}

Result<StreamId> ClientSession::Impl::request(const Request& request, Chunk body) {
  std::vector<nghttp2_nv> fields{
      name_value(":method", request.method), name_value(":scheme", request.scheme),
      name_value(":authority", request.authority), name_value(":path", request.path)};
  for (const Header& h : request.headers) fields.push_back(name_value(h.name, h.value));
  nghttp2_data_provider provider{};
  provider.source.ptr = this;
  provider.read_callback = [](nghttp2_session*, int32_t id, uint8_t* out, size_t len,
                              uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
    Stream* const stream = static_cast<Impl*>(source->ptr)->find(id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    const size_t n = stream->body.read({out, len});
    if (stream->body.drained()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  };
  const bool has_body = !body.bytes.empty();
  const StreamId id = nghttp2_submit_request(session_.get(), nullptr, fields.data(), fields.size(),
                                             has_body ? &provider : nullptr, nullptr);
  if (id < 0) return retry_later("the HTTP/2 server takes no more streams");
  streams_[id].body.push(std::move(body));
  return id;
}

Result<ClientSession> ClientSession::create(ClientEvents& events, Windows windows) {
  auto impl = std::make_unique<Impl>(events);
  ES_CHECK(impl->init(windows));
  return ClientSession(std::move(impl));
}

ClientSession::ClientSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientSession::ClientSession(ClientSession&&) noexcept = default;
ClientSession& ClientSession::operator=(ClientSession&&) noexcept = default;
ClientSession::~ClientSession() = default;

Status ClientSession::receive(Bytes stream) { return impl_->receive(stream); }
bool ClientSession::take_output(size_t enough, std::vector<uint8_t>& out) {
  return drain(impl_->session(), enough, out);
}
bool ClientSession::wants_close() const {
  return nghttp2_session_want_read(impl_->session()) == 0 &&
         nghttp2_session_want_write(impl_->session()) == 0;
}
Result<StreamId> ClientSession::request(const Request& request, Chunk body) {
  return impl_->request(request, std::move(body));
}
void ClientSession::reset(StreamId id, ErrorCode code) {
  nghttp2_submit_rst_stream(impl_->session(), NGHTTP2_FLAG_NONE, id, static_cast<uint32_t>(code));
}
void ClientSession::consume(StreamId id, size_t len) {
  nghttp2_session_consume(impl_->session(), id, len);
}
void ClientSession::ping() { nghttp2_submit_ping(impl_->session(), NGHTTP2_FLAG_NONE, nullptr); }

}  // namespace es::h2

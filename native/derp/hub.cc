#include "native/derp/hub.h"

#include "native/net/byte_stream.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace es::derp {

namespace {

constexpr size_t kMinRead = 4U << 10U;
constexpr size_t kMaxRead = 64U << 10U;
constexpr size_t kWriteBatch = 64U << 10U;
constexpr size_t kKeptWriteCapacity = 16U << 10U;

// One connection. Its fields belong to its strand but for those marked; it is destroyed there too.
struct Link {
  ConnId id = 0;
  Endpoint source;
  std::vector<uint8_t> input;
  std::vector<uint8_t> output;
  bool reading = false;
  bool writing = false;
  bool pump_posted = false;                 // under the mutex
  bool ending = false;                      // under the mutex
  std::unique_ptr<net::ByteStream> stream;  // last: it dies before the buffers that it uses
};

}  // namespace

class Hub::Impl : public Host {
  // Does `work` on the state, then passes on what it asked for.
  template <class Work>
  auto locked(Work work) {
    const std::lock_guard lock(mutex_);
    struct Deliver {
      Impl* impl;
      ~Deliver() { impl->deliver_notes(); }
    } deliver{this};
    return work(*server_);
  }

 public:
  Impl(const HubConfig& config, HubEnvironment environment)
      : config_(config), env_(std::move(environment)) {}

  Status init() {
    ES_TRY(Server server, Server::create(config_.server, *this));
    server_.emplace(std::move(server));
    return {};
  }

  void serve(std::unique_ptr<net::ByteStream> stream, const Endpoint& source) {
    if (!stream) return;
    auto link = std::make_unique<Link>();
    Link& l = *link;
    l.source = source;
    l.stream = std::move(stream);
    l.stream->set_timeouts(Millis(0), config_.write_timeout);
    {
      const std::lock_guard lock(mutex_);
      const auto id = server_->open(source, env_.clock());
      if (!id.ok()) return;  // destroys, and thereby closes, the stream
      l.id = *id;
      links_.emplace(l.id, std::move(link));
      deliver_notes();
    }
    // Posted: the stream must not die inside its own stop notice.
    l.stream->on_server_stop([this, &l] { l.stream->post([this, id = l.id] { finish(id); }); });
    read(l);
  }

  void tick() {
    locked([&](Server& s) { s.tick(env_.clock()); });
  }
  void admission_decided(ConnId id, Admission decision) {
    locked([&](Server& s) { s.admission_decided(id, decision, env_.clock()); });
  }
  size_t disconnect(const Key& client) {
    return locked([&](Server& s) { return s.disconnect(client); });
  }
  void announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms) {
    locked([&](Server& s) { s.announce_restart(reconnect_in_ms, try_for_ms); });
  }
  ServerStats stats() {
    return locked([](Server& s) { return s.stats(); });
  }
  std::vector<ClientView> clients() {
    return locked([](Server& s) { return s.clients(); });
  }
  const Key& public_key() const { return server_->public_key(); }

  // Host; the mutex is held.
  void output_ready(ConnId id) override { ready_.push_back(id); }
  void resume_reading(ConnId id) override { resumed_.push_back(id); }
  void close(ConnId id, CloseReason reason) override { closed_.emplace_back(id, reason); }
  Admission admit(ConnId id, const Key& client, const Endpoint& source) override {
    return env_.admit(id, client, source);
  }
  void random(MutableBytes out) override { env_.random(out); }

 private:
  Link* find(ConnId id) {
    const auto it = links_.find(id);
    return it == links_.end() ? nullptr : it->second.get();
  }

  // Turns what the state asked for into tasks on the strands concerned. The mutex is held: a link
  // cannot go away, since only its own strand takes it out of the table.
  void deliver_notes() {
    for (const ConnId id : ready_) {
      Link* const link = find(id);
      if (link == nullptr || link->pump_posted || link->ending) continue;
      link->pump_posted = true;
      link->stream->post([this, id] { pump(id); });
    }
    for (const ConnId id : resumed_) {
      Link* const link = find(id);
      if (link == nullptr || link->ending) continue;
      link->stream->post([this, id] { resume(id); });
    }
    for (const auto& [id, reason] : closed_) {
      Link* const link = find(id);
      if (link == nullptr || link->ending) continue;
      link->ending = true;
      if (env_.on_close) env_.on_close(link->source, reason);
      link->stream->post([this, id = id] { finish(id); });
    }
    ready_.clear();
    resumed_.clear();
    closed_.clear();
  }

  // On the link's strand from here on.

  // Takes the link out; it dies with its stream at the end, outside the mutex.
  void finish(ConnId id) {
    std::unique_ptr<Link> link;
    const std::lock_guard lock(mutex_);
    const auto it = links_.find(id);
    if (it == links_.end()) return;
    link = std::move(it->second);
    links_.erase(it);
    server_->closed(id);
    deliver_notes();
  }

  void read(Link& link) {
    if (link.reading) return;
    link.reading = true;
    if (link.input.empty()) link.input.resize(kMinRead);
    link.stream->read_some(link.input, [this, &link](Result<size_t> len) { on_read(link, len); });
  }

  void on_read(Link& link, const Result<size_t>& len) {
    link.reading = false;
    const ConnId id = link.id;
    if (!len.ok() || *len == 0) return finish(id);
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      server_->receive(id, Bytes(link.input).first(*len), env_.clock());
      more = server_->wants_read(id);
      deliver_notes();
    }
    adapt(link.input, *len);
    if (more) read(link);
  }

  // A full read asks for a larger buffer, a nearly empty one for a smaller.
  static void adapt(std::vector<uint8_t>& input, size_t len) {
    if (len == input.size() && input.size() < kMaxRead) {
      input.resize(input.size() * 2);
    } else if (len < input.size() / 16 && input.size() > kMinRead) {
      input = std::vector<uint8_t>(input.size() / 2);
    }
  }

  void resume(ConnId id) {
    Link* link = nullptr;
    {
      const std::lock_guard lock(mutex_);
      link = find(id);
      if (link == nullptr || link->ending || !server_->wants_read(id)) return;
    }
    read(*link);
  }

  void pump(ConnId id) {
    Link* link = nullptr;
    {
      const std::lock_guard lock(mutex_);
      link = find(id);
      if (link == nullptr) return;
      link->pump_posted = false;
      if (link->ending || link->writing) return;
      if (!server_->take_output(id, kWriteBatch, link->output)) return;
      link->writing = true;
    }
    link->stream->write(link->output,
                        [this, link](const Status& status) { on_write(*link, status); });
  }

  void on_write(Link& link, const Status& status) {
    link.writing = false;
    if (!status.ok()) return finish(link.id);
    link.output.clear();
    if (link.output.capacity() > kKeptWriteCapacity) link.output.shrink_to_fit();
    pump(link.id);
  }

  HubConfig config_;
  HubEnvironment env_;
  std::mutex mutex_;
  std::optional<Server> server_;
  std::unordered_map<ConnId, std::unique_ptr<Link>> links_;
  std::vector<ConnId> ready_;
  std::vector<ConnId> resumed_;
  std::vector<std::pair<ConnId, CloseReason>> closed_;
};

Result<std::unique_ptr<Hub>> Hub::create(const HubConfig& config, HubEnvironment environment) {
  auto impl = std::make_unique<Impl>(config, std::move(environment));
  ES_CHECK(impl->init());
  return std::unique_ptr<Hub>(new Hub(std::move(impl)));
}

Hub::Hub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Hub::~Hub() = default;
const Key& Hub::public_key() const { return impl_->public_key(); }
void Hub::serve(std::unique_ptr<net::ByteStream> stream, const Endpoint& source) {
  impl_->serve(std::move(stream), source);
}
void Hub::tick() { impl_->tick(); }
void Hub::admission_decided(ConnId id, Admission decision) {
  impl_->admission_decided(id, decision);
}
size_t Hub::disconnect(const Key& client) { return impl_->disconnect(client); }
void Hub::announce_restart(uint32_t reconnect_in_ms, uint32_t try_for_ms) {
  impl_->announce_restart(reconnect_in_ms, try_for_ms);
}
ServerStats Hub::stats() const { return impl_->stats(); }
std::vector<ClientView> Hub::clients() const { return impl_->clients(); }

}  // namespace es::derp

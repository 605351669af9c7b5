// A stream in memory: nothing moves until the test moves it.
#pragma once

#include "native/net/byte_stream.h"

#include <catch2/catch.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace es::test {

// One strand for all streams: tasks run when the test says so, never inside a call.
struct Loop {
  std::deque<std::function<void()>> tasks;
  void run() {
    while (!tasks.empty()) {
      auto task = std::move(tasks.front());
      tasks.pop_front();
      task();
    }
  }
};

// The far end of a stream, as the test sees it; outlives the stream.
struct Wire {
  std::vector<uint8_t> to_server;
  bool client_closed = false;  // end of the client's bytes
  bool server_closed = false;  // close() was called
  bool destroyed = false;
  bool blocked = false;  // writes do not complete
  MutableBytes read_into;
  net::ByteStream::ReadDone read_done;
  Bytes writing;
  net::ByteStream::WriteDone write_done;
  std::function<void()> on_stop;
  Millis write_timeout{0};
};

class FakeStream : public net::ByteStream {
 public:
  FakeStream(Loop& loop, std::shared_ptr<Wire> wire) : loop_(loop), wire_(std::move(wire)) {}
  ~FakeStream() override {
    wire_->destroyed = true;
    wire_->read_done = nullptr;
    wire_->write_done = nullptr;
    wire_->on_stop = nullptr;
  }
  void read_some(MutableBytes into, ReadDone done) override {
    REQUIRE_FALSE(wire_->read_done);
    wire_->read_into = into;
    wire_->read_done = std::move(done);
  }
  void write(Bytes bytes, WriteDone done) override {
    REQUIRE_FALSE(wire_->write_done);
    wire_->writing = bytes;
    wire_->write_done = std::move(done);
  }
  void post(std::function<void()> task) override {
    loop_.tasks.push_back([wire = wire_, task = std::move(task)] {
      if (!wire->destroyed) task();
    });
  }
  void set_timeouts(Millis, Millis write) override { wire_->write_timeout = write; }
  void on_server_stop(std::function<void()> task) override { wire_->on_stop = std::move(task); }
  void close() override {
    wire_->server_closed = true;
    loop_.tasks.push_back([wire = wire_] {
      const Error closed = reconnect("closed");
      if (auto done = std::exchange(wire->read_done, nullptr)) done(closed);
      if (auto done = std::exchange(wire->write_done, nullptr)) done(Status(closed));
    });
  }

 private:
  Loop& loop_;
  std::shared_ptr<Wire> wire_;
};

}  // namespace es::test

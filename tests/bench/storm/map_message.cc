#include "tests/bench/storm/map_message.h"

#include <zstd.h>

#include <charconv>
#include <memory>
#include <stdexcept>

namespace es::storm {
namespace {

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

class Scanner {
 public:
  explicit Scanner(std::string_view json) : p_(json.data()), end_(json.data() + json.size()) {}

  MapMessage message() {
    MapMessage out;
    members([&](std::string_view key) {
      if (key == "Node") {
        out.self = object_id();
        out.whole = out.self != 0;
      } else if (key == "Peers") {
        objects(out.peers);
      } else if (key == "PeersChanged") {
        objects(out.changed);
      } else if (key == "PeersChangedPatch") {
        objects(out.patched);
      } else if (key == "PeersRemoved") {
        elements([&] { out.removed.push_back(number()); });
      } else if (key == "KeepAlive") {
        out.keep_alive = peek() == 't';
        skip();
      } else {
        skip();
      }
    });
    return out;
  }

 private:
  [[noreturn]] static void bad() { throw std::runtime_error("a map message is no JSON"); }

  char peek() {
    while (p_ < end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\t' || *p_ == '\r')) ++p_;
    if (p_ == end_) bad();
    return *p_;
  }
  void expect(char c) {
    if (peek() != c) bad();
    ++p_;
  }
  std::string_view text() {
    expect('"');
    const char* const begin = p_;
    while (p_ < end_ && *p_ != '"') p_ += *p_ == '\\' ? 2 : 1;
    if (p_ >= end_) bad();
    return {begin, static_cast<size_t>(p_++ - begin)};
  }
  uint64_t number() {
    peek();
    uint64_t value = 0;
    const auto [after, error] = std::from_chars(p_, end_, value);
    if (error != std::errc()) bad();
    p_ = after;
    return value;
  }
  template <class F>
  void members(F&& member) {
    expect('{');
    if (peek() == '}') {
      ++p_;
      return;
    }
    for (;;) {
      const std::string_view key = text();
      expect(':');
      member(key);
      if (peek() == '}') break;
      expect(',');
    }
    ++p_;
  }
  template <class F>
  void elements(F&& element) {
    if (peek() == 'n') return skip();  // null
    expect('[');
    if (peek() == ']') {
      ++p_;
      return;
    }
    for (;;) {
      element();
      if (peek() == ']') break;
      expect(',');
    }
    ++p_;
  }
  uint64_t object_id() {
    if (peek() != '{') {
      skip();
      return 0;
    }
    uint64_t id = 0;
    members([&](std::string_view key) {
      if (key == "ID" || key == "NodeID") {
        id = number();
      } else {
        skip();
      }
    });
    return id;
  }
  void objects(std::vector<uint64_t>& ids) {
    elements([&] { ids.push_back(object_id()); });
  }
  // Any value.
  void skip() {
    const char first = peek();
    if (first == '"') {
      text();
      return;
    }
    if (first != '{' && first != '[') {
      while (p_ < end_ && *p_ != ',' && *p_ != '}' && *p_ != ']') ++p_;
      return;
    }
    size_t depth = 0;
    do {
      const char c = peek();
      if (c == '"') {
        text();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++p_;
    } while (depth != 0);
  }

  const char* p_;
  const char* const end_;
};

}  // namespace

void decompress(std::string_view payload, std::string& out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  out.clear();
  ZSTD_inBuffer in{payload.data(), payload.size(), 0};
  size_t left = 0;
  while (in.pos < in.size) {
    const size_t before = out.size();
    out.resize(before + ZSTD_DStreamOutSize());
    ZSTD_outBuffer piece{out.data() + before, out.size() - before, 0};
    left = ZSTD_decompressStream(context.get(), &piece, &in);
    if (ZSTD_isError(left) != 0) throw std::runtime_error("a map message is no zstd");
    out.resize(before + piece.pos);
    // What is decoded and did not fit comes with the next call.
    while (left != 0 && piece.pos == piece.size) {
      const size_t at = out.size();
      out.resize(at + ZSTD_DStreamOutSize());
      piece = {out.data() + at, out.size() - at, 0};
      left = ZSTD_decompressStream(context.get(), &piece, &in);
      if (ZSTD_isError(left) != 0) throw std::runtime_error("a map message is no zstd");
      out.resize(at + piece.pos);
    }
  }
  if (left != 0) throw std::runtime_error("a map message was cut");
}

MapMessage read_map_message(std::string_view json) { return Scanner(json).message(); }

}  // namespace es::storm

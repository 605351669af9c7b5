// The least that Boost.Beast can do: read a request, send 17 bytes. What origin_bench.py measures
// the origin against. usage: beast_baseline THREADS; prints its port.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable_t<Executor>{});

asio::awaitable<void, Executor> serve(Socket socket) {
  boost::beast::flat_buffer buffer;
  for (;;) {
    http::request<http::string_body> request;
    const auto [failed, n] = co_await http::async_read(socket, buffer, request, kAwait);
    if (failed) co_return;
    http::response<http::string_body> response(http::status::ok, request.version());
    response.set(http::field::content_type, "application/health+json");
    response.body() = R"({"status":"pass"})";
    response.keep_alive(request.keep_alive());
    response.prepare_payload();
    const auto [broken, m] = co_await http::async_write(socket, response, kAwait);
    if (broken || !request.keep_alive()) co_return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const size_t num_threads = argc > 1 ? static_cast<size_t>(std::atoi(argv[1])) : 2;
  std::vector<std::unique_ptr<asio::io_context>> contexts;
  std::vector<asio::executor_work_guard<Executor>> guards;
  for (size_t i = 0; i < num_threads; ++i) {
    contexts.push_back(std::make_unique<asio::io_context>(1));
    guards.push_back(asio::make_work_guard(*contexts.back()));
  }
  asio::ip::tcp::acceptor acceptor(*contexts[0], {asio::ip::address_v4::loopback(), 0});
  std::printf("%u\n", acceptor.local_endpoint().port());
  std::fflush(stdout);
  std::vector<std::thread> threads;
  for (auto& context : contexts) threads.emplace_back([&context] { context->run(); });
  for (size_t i = 0;; ++i) {
    asio::io_context& context = *contexts[i % num_threads];
    Socket socket(context.get_executor());
    acceptor.accept(socket);
    socket.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(context.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

#include "native/cli/client.h"

#include "native/cli/config.h"
#include "native/cli/values.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <openssl/err.h>

#include <grp.h>
#include <optional>
#include <pwd.h>
#include <sys/stat.h>

namespace es::cli {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr uint32_t kMaxHead = 64 * 1024;

enum class Stage : uint8_t { kResolve, kConnect, kHandshake, kExchange, kDone };

struct Call {
  const Endpoint& endpoint;
  std::optional<HttpUrl> url;
  http::request<http::string_body> request;

  Stage stage = Stage::kResolve;
  error_code error;
  long verify_result = X509_V_OK;
  Answer answer;
};

using Request = http::request<http::string_body>;

// A completion token: the error goes to call.error instead of being thrown.
auto into(Call& call) { return asio::redirect_error(asio::use_awaitable, call.error); }

template <class Stream>
asio::awaitable<void> exchange(Stream& stream, Call& call) {
  call.stage = Stage::kExchange;
  co_await http::async_write(stream, call.request, into(call));
  // A server that refuses early may have closed before it read everything: its answer still counts.
  if (call.error && call.error != asio::error::broken_pipe) co_return;
  call.error = {};
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(call.endpoint.max_body);
  parser.header_limit(kMaxHead);
  co_await http::async_read(stream, buffer, parser, into(call));
  if (call.error) co_return;
  auto& response = parser.get();
  const auto field = [&](http::field name) {
    const auto value = response[name];
    return std::string(value.data(), value.size());
  };
  call.answer.status = response.result_int();
  call.answer.content_type = field(http::field::content_type);
  call.answer.location = field(http::field::location);
  call.answer.retry_after = field(http::field::retry_after);
  call.answer.body = std::move(response.body());
  call.stage = Stage::kDone;
}

asio::awaitable<void> over_socket(asio::io_context& io, Call& call) {
  asio::local::stream_protocol::socket socket(io);
  call.stage = Stage::kConnect;
  co_await socket.async_connect(asio::local::stream_protocol::endpoint(call.endpoint.socket_path),
                                into(call));
  if (!call.error) co_await exchange(socket, call);
}

asio::awaitable<void> over_tls(tcp::socket socket, Call& call) {
  ssl::context context(ssl::context::tls_client);
  context.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  error_code ignored;
  context.set_default_verify_paths(ignored);
  ssl::stream<tcp::socket> stream(std::move(socket), context);
  const std::string& host = call.url->host;
  stream.set_verify_mode(call.endpoint.insecure ? ssl::verify_none : ssl::verify_peer);
  // OpenSSL's own check of the name, not Asio's: its reason can be told to a person.
  if (parse_ip(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(stream.native_handle()), host.c_str());
  } else {
    SSL_set1_host(stream.native_handle(), host.c_str());
    SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
  }
  call.stage = Stage::kHandshake;
  co_await stream.async_handshake(ssl::stream_base::client, into(call));
  call.verify_result = SSL_get_verify_result(stream.native_handle());
  if (!call.error) co_await exchange(stream, call);
}

asio::awaitable<void> over_tcp(asio::io_context& io, Call& call) {
  tcp::resolver resolver(io);
  const auto addresses = co_await resolver.async_resolve(
      call.url->host, std::to_string(call.url->port), tcp::resolver::numeric_service, into(call));
  if (call.error) co_return;
  tcp::socket socket(io);
  call.stage = Stage::kConnect;
  co_await asio::async_connect(socket, addresses, into(call));
  if (call.error) co_return;
  if (call.url->tls) {
    co_await over_tls(std::move(socket), call);
  } else {
    co_await exchange(socket, call);
  }
}

std::string hint(const Call& call, const char* text) {
  return call.endpoint.reader == Endpoint::For::kPerson ? text : "";
}

std::string owner_of(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  const passwd* const user = getpwuid(info.st_uid);
  const group* const file_group = getgrgid(info.st_gid);
  const std::string group_name =
      file_group == nullptr ? std::to_string(info.st_gid) : file_group->gr_name;
  return ": it belongs to " +
         (user == nullptr ? std::to_string(info.st_uid) : std::string(user->pw_name)) + ", group " +
         group_name + ", mode " + format_file_mode(FileMode{info.st_mode & 07777U}) +
         ". Become a member of group " + group_name + ", or run this as root";
}

std::string socket_trouble(const Call& call) {
  const std::string& path = call.endpoint.socket_path;
  if (call.error == asio::error::access_denied) {
    const std::string owner = owner_of(path);
    return "permission denied on " + path +
           (owner.empty() ? ": its folder is closed to this user. Run this as root" : owner);
  }
  if (call.error == error_code(ENOENT, boost::system::system_category())) {
    return "no server is running here: there is no socket " + path +
           ". Start one with 'edgescale serve', or name its config with --config, or another "
           "server with --address";
  }
  if (call.error == asio::error::connection_refused) {
    return "no server is running here: nobody listens on " + path +
           ", which an earlier one left behind. Start one with 'edgescale serve'";
  }
  return "cannot connect to " + path + ": " + call.error.message();
}

std::string url_trouble(const Call& call) {
  const std::string& url = call.endpoint.url;
  const std::string port = std::to_string(call.url->port);
  switch (call.stage) {
    case Stage::kResolve:
      return "cannot find the host " + call.url->host + " of " + url + ": " + call.error.message();
    case Stage::kConnect:
      return "cannot connect to " + url + " (port " + port + "): " + call.error.message();
    case Stage::kHandshake:
      if (call.verify_result != X509_V_OK) {
        return "the certificate of " + url +
               " is not trusted: " + X509_verify_cert_error_string(call.verify_result) +
               hint(call, ". Is this the right address? --insecure accepts any certificate");
      }
      return "no TLS with " + url + ": " + call.error.message() +
             ". Does the server speak plain http:// on port " + port + "?";
    default:
      return "the connection to " + url + " broke: " + call.error.message();
  }
}

std::string trouble(const Call& call) {
  if (call.error == http::error::body_limit || call.error == http::error::header_limit) {
    return "the answer is too large";
  }
  const std::string where = call.url ? call.endpoint.url : call.endpoint.socket_path;
  if (call.stage == Stage::kExchange && call.error == http::error::end_of_stream) {
    return where + " closed the connection without an answer" +
           (call.url && !call.url->tls ? ": does the server speak https:// there?" : "");
  }
  if (call.stage == Stage::kExchange &&
      call.error.category() == make_error_code(http::error::bad_version).category()) {
    return "what answers at " + where + " does not speak HTTP: " + call.error.message();
  }
  return call.url ? url_trouble(call) : socket_trouble(call);
}

std::string host_field(const Call& call) {
  if (!call.url) return "localhost";
  const bool v6 = call.url->host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + call.url->host + "]" : call.url->host;
  const bool standard = call.url->port == (call.url->tls ? 443 : 80);
  return standard ? host : host + ":" + std::to_string(call.url->port);
}

void fill_request(Call& call, std::string_view method, std::string_view target,
                  std::string_view body) {
  Request& request = call.request;
  std::string path = call.url ? call.url->path : std::string();
  while (path.ends_with('/')) path.pop_back();
  path += target;
  request.version(11);
  request.method_string({method.data(), method.size()});
  request.target({path.data(), path.size()});
  request.set(http::field::host, host_field(call));
  request.set(http::field::user_agent, "edgescale");
  request.set(http::field::accept, "application/json");
  request.set(http::field::connection, "close");
  if (call.url && !call.endpoint.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + call.endpoint.api_key);
  }
  if (!body.empty()) {
    request.set(http::field::content_type, "application/json");
    request.body() = std::string(body);
  }
  if (!body.empty() || method == "POST" || method == "PUT") request.prepare_payload();
}

}  // namespace

Result<Answer, CallError> call(const Endpoint& endpoint, std::string_view method,
                               std::string_view target, std::string_view body) {
  Call call{.endpoint = endpoint, .url = {}, .request = {}, .error = {}, .answer = {}};
  if (!endpoint.url.empty()) {
    call.url = parse_http_url(endpoint.url);
    if (!call.url) {
      return CallError{"\"" + endpoint.url + "\" is not a URL such as https://vpn.example.com"};
    }
    for (const char c : endpoint.api_key) {
      if (c <= 0x20 || c > 0x7e) return CallError{"the API key holds a character that none has"};
    }
  }
  fill_request(call, method, target, body);
  try {
    asio::io_context io(1);
    bool done = false;
    asio::co_spawn(io, call.url ? over_tcp(io, call) : over_socket(io, call),
                   [&done](std::exception_ptr failure) {
                     done = true;
                     if (failure) std::rethrow_exception(failure);
                   });
    io.run_for(endpoint.timeout);
    if (!done) {
      return CallError{(call.url ? endpoint.url : endpoint.socket_path) +
                       " did not answer within " + format_duration(endpoint.timeout) +
                       hint(call, "; --timeout waits longer")};
    }
  } catch (const std::exception& e) {
    return CallError{std::string("cannot talk to the server: ") + e.what()};
  }
  if (call.error) return CallError{trouble(call)};
  return std::move(call.answer);
}

}  // namespace es::cli

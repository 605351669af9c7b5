// Internal to net: the server's TLS context, and its exchange when files change.
#pragma once

#include "common/base/result.h"
#include "native/net/options.h"

#include <memory>
#include <mutex>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace es::net {

// TLS 1.2 and 1.3, no compression, no renegotiation, server's cipher order, ALPN http/1.1.
// The error is text for the log: which file, and what OpenSSL says of it.
Result<std::shared_ptr<boost::asio::ssl::context>, std::string> make_tls_context(
    const TlsFiles& files);

// The context that new connections get. Threads: any.
class TlsSlot {
 public:
  std::shared_ptr<boost::asio::ssl::context> get() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  void set(std::shared_ptr<boost::asio::ssl::context> context) {
    const std::lock_guard lock(mutex_);
    context_ = std::move(context);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace es::net

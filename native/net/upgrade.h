// Internal to net: how an Upgrade gets its connection.
#pragma once

#include "native/net/byte_stream.h"
#include "native/net/exchange.h"

#include <memory>

namespace es::net {

class Connection;

class Upgrade::Impl {
 public:
  Impl(std::shared_ptr<Connection> connection, std::shared_ptr<Exchange> exchange,
       const Request& request);
  ~Impl();

  const Request& request() const { return request_; }
  void refuse(Response response);
  // Null when the connection has ended meanwhile.
  std::shared_ptr<Connection> take();

 private:
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Exchange> exchange_;
  Request request_;
};

Upgrade make_upgrade(std::shared_ptr<Connection> connection, std::shared_ptr<Exchange> exchange,
                     const Request& request);

}  // namespace es::net

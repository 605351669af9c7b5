// Which handler answers a method and path; 404, 405 with Allow, and HEAD for every GET.
//
// A pattern is a path of literal segments and {name} segments: "/api/v1/user/{id}". A {name}
// takes exactly one non-empty segment. A literal wins over a {name} in the same place. A pattern
// that ends in "/*" takes every path below it that no other pattern takes.
// Literals are compared with the path as sent: an encoded spelling of a known path is unknown here
// as it is to the gate (common/http/route.h). Only the value of a {name} is percent-decoded, after
// the split, so "%2F" stays inside it.
//
// Threads: add everything first; match() is const and may then run on any number of threads.
#pragma once

#include "native/net/byte_stream.h"
#include "native/net/http.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace es::net {

// Who may call a route. The gate asks for a key on every /api/ path whatever this says.
enum class Access {
  kPublic,
  kApiKey,  // an API key as Bearer, except over the unix socket
};

struct Route {
  std::string method;
  std::string pattern;  // the `route` label of metrics and logs
  Access access = Access::kPublic;
  Handler handler;  // one of the two is set
  UpgradeHandler upgrade;
};

struct Match {
  const Route* route = nullptr;  // null: answer `status`
  std::vector<std::string> path_args;
  unsigned status = 200;  // 404 or 405 without a route
  std::string allow;      // for a 405
};

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // Adding the same method and pattern twice, or a malformed pattern, is a bug: it aborts.
  void add(std::string_view method, std::string_view pattern, Handler handler,
           Access access = Access::kPublic);
  void add_upgrade(std::string_view method, std::string_view pattern, UpgradeHandler handler,
                   Access access = Access::kPublic);

  // `raw_path` is the target up to '?', still percent-encoded.
  Match match(std::string_view method, std::string_view raw_path) const;

  void for_each(const std::function<void(const Route&)>& visit) const;

 private:
  struct Node;
  Route& insert(std::string_view method, std::string_view pattern);

  std::unique_ptr<Node> root_;
};

}  // namespace es::net

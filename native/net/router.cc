#include "native/net/router.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace es::net {

// A trie over segments: `literal` first, then `parameter`, then `rest` ("/*").
struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literal;
  std::unique_ptr<Node> parameter;
  std::unique_ptr<Node> rest;
  std::map<std::string, std::unique_ptr<Route>, std::less<>> methods;

  void for_each(const std::function<void(const Route&)>& visit) const {
    for (const auto& [method, route] : methods) visit(*route);
    for (const auto& [segment, node] : literal) node->for_each(visit);
    if (parameter) parameter->for_each(visit);
    if (rest) rest->for_each(visit);
  }
};

namespace {

[[noreturn]] void die(std::string_view pattern, const char* why) {
  std::fprintf(stderr, "route %.*s: %s\n", static_cast<int>(pattern.size()), pattern.data(), why);
  std::abort();
}

// Takes the segment behind the leading '/' off `path`.
std::string_view next_segment(std::string_view& path) {
  path.remove_prefix(1);
  const size_t end = path.find('/');
  const std::string_view segment = path.substr(0, end);
  path = end == std::string_view::npos ? std::string_view{} : path.substr(end);
  return segment;
}

template <class Node>
const Node* find(const Node& node, std::string_view path, std::vector<std::string>& args) {
  if (path.empty()) return node.methods.empty() ? nullptr : &node;
  std::string_view below = path;
  const std::string_view segment = next_segment(below);
  if (const auto it = node.literal.find(segment); it != node.literal.end()) {
    if (const Node* found = find(*it->second, below, args)) return found;
  }
  if (node.parameter && !segment.empty()) {
    if (auto value = percent_decode(segment, Plus::kIsPlus)) {
      args.push_back(*std::move(value));
      if (const Node* found = find(*node.parameter, below, args)) return found;
      args.pop_back();
    }
  }
  return node.rest.get();
}

}  // namespace

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

Route& Router::insert(std::string_view method, std::string_view pattern) {
  if (pattern.empty() || pattern[0] != '/') die(pattern, "must begin with '/'");
  Node* node = root_.get();
  std::string_view left = pattern;
  while (!left.empty()) {
    const std::string_view segment = next_segment(left);
    std::unique_ptr<Node>* slot = nullptr;
    if (segment == "*") {
      if (!left.empty()) die(pattern, "'*' must be last");
      slot = &node->rest;
    } else if (segment.size() > 2 && segment.front() == '{' && segment.back() == '}') {
      slot = &node->parameter;
    } else {
      slot = &node->literal[std::string(segment)];
    }
    if (!*slot) *slot = std::make_unique<Node>();
    node = slot->get();
  }
  std::unique_ptr<Route>& route = node->methods[std::string(method)];
  if (route) die(pattern, "added twice");
  route = std::make_unique<Route>();
  route->method = method;
  route->pattern = pattern;
  return *route;
}

void Router::add(std::string_view method, std::string_view pattern, Handler handler,
                 Access access) {
  Route& route = insert(method, pattern);
  route.handler = std::move(handler);
  route.access = access;
}

void Router::add_upgrade(std::string_view method, std::string_view pattern, UpgradeHandler handler,
                         Access access) {
  Route& route = insert(method, pattern);
  route.upgrade = std::move(handler);
  route.access = access;
}

Match Router::match(std::string_view method, std::string_view raw_path) const {
  Match match;
  const Node* node = nullptr;
  if (!raw_path.empty() && raw_path[0] == '/') node = find(*root_, raw_path, match.path_args);
  if (node == nullptr) {
    match.status = 404;
    return match;
  }
  auto it = node->methods.find(method);
  if (it == node->methods.end() && method == "HEAD") it = node->methods.find("GET");
  if (it != node->methods.end()) {
    match.route = it->second.get();
    return match;
  }
  match.status = 405;
  for (const auto& [name, route] : node->methods) {
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += name;
    if (name == "GET" && !node->methods.contains("HEAD")) match.allow += ", HEAD";
  }
  return match;
}

void Router::for_each(const std::function<void(const Route&)>& visit) const {
  root_->for_each(visit);
}

}  // namespace es::net

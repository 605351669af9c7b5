// The REST API of Headscale, /api/v1, as far as it stands: users, pre-auth keys, API keys, nodes,
// what waits for an approval, health, and the OpenAPI document of exactly that.
//
// Requests reach it after the gate: authenticated, or from the unix socket. Answers are JSON with
// Cache-Control: no-store; errors have net::error_response's shape. 503 with Retry-After means that
// nothing was written.
// Retries: a POST that makes a key is not idempotent: when its answer is lost, the key may exist,
// and asking again makes another one. All other writes may be repeated; the second one changes
// nothing, or says 404 or 409. A write whose client went away before the answer is still done.
// Threads: handlers run on any thread and at the same time.
#pragma once

#include "native/control/directory.h"
#include "native/control/policy_desk.h"
#include "native/control/ssh_checks.h"
#include "native/control/tailnet.h"
#include "native/net/http.h"
#include "native/net/router.h"

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace es::api {

// A list's JSON, kept until the rows behind it change.
class CachedBody {
 public:
  // Null when it is of another version.
  std::shared_ptr<const std::string> get(uint64_t version) const;
  void put(uint64_t version, std::shared_ptr<const std::string> body);

 private:
  mutable std::mutex mutex_;
  uint64_t version_ = 0;
  std::shared_ptr<const std::string> body_;
};

class V1 {
 public:
  struct Operation {
    std::string_view method;
    std::string_view pattern;
    void (V1::*handle)(const net::Request&, const net::Reply&);
  };

  // What it is given must outlive it, and it the router.
  V1(control::Directory& directory, control::Tailnet& tailnet, control::PolicyDesk& policy,
     control::SshChecks& ssh_checks)
      : directory_(directory), tailnet_(tailnet), policy_(policy), ssh_checks_(ssh_checks) {}
  V1(const V1&) = delete;
  V1& operator=(const V1&) = delete;

  void add_routes(net::Router& router);
  static const std::vector<Operation>& operations();

 private:
  void health(const net::Request& request, const net::Reply& reply);
  void openapi(const net::Request& request, const net::Reply& reply);
  void list_users(const net::Request& request, const net::Reply& reply);
  void create_user(const net::Request& request, const net::Reply& reply);
  void rename_user(const net::Request& request, const net::Reply& reply);
  void set_user_role(const net::Request& request, const net::Reply& reply);
  void delete_user(const net::Request& request, const net::Reply& reply);
  void list_pre_auth_keys(const net::Request& request, const net::Reply& reply);
  void create_pre_auth_key(const net::Request& request, const net::Reply& reply);
  void expire_pre_auth_key(const net::Request& request, const net::Reply& reply);
  void delete_pre_auth_key(const net::Request& request, const net::Reply& reply);
  void list_api_keys(const net::Request& request, const net::Reply& reply);
  void create_api_key(const net::Request& request, const net::Reply& reply);
  void expire_api_key(const net::Request& request, const net::Reply& reply);
  void delete_api_key(const net::Request& request, const net::Reply& reply);
  // v1_nodes.cc
  void list_nodes(const net::Request& request, const net::Reply& reply);
  void get_node(const net::Request& request, const net::Reply& reply);
  void delete_node(const net::Request& request, const net::Reply& reply);
  void expire_node(const net::Request& request, const net::Reply& reply);
  void rename_node(const net::Request& request, const net::Reply& reply);
  void set_tags(const net::Request& request, const net::Reply& reply);
  void approve_routes(const net::Request& request, const net::Reply& reply);
  void backfill_addresses(const net::Request& request, const net::Reply& reply);
  void debug_map(const net::Request& request, const net::Reply& reply);
  // v1_policy.cc
  void get_policy(const net::Request& request, const net::Reply& reply);
  void put_policy(const net::Request& request, const net::Reply& reply);
  void check_policy(const net::Request& request, const net::Reply& reply);
  void explain_policy(const net::Request& request, const net::Reply& reply);
  // v1_auth.cc
  void register_node(const net::Request& request, const net::Reply& reply);
  void auth_register(const net::Request& request, const net::Reply& reply);
  void auth_approve(const net::Request& request, const net::Reply& reply);
  void auth_reject(const net::Request& request, const net::Reply& reply);
  void debug_create_node(const net::Request& request, const net::Reply& reply);

  std::shared_ptr<const control::User> user_called(std::string_view name_or_id) const;
  control::Answer<control::NodePtr> reply_node(const net::Request& request,
                                               const net::Reply& reply) const;
  void approve(std::string_view user, std::string_view auth_id, const net::Request& request,
               const net::Reply& reply);

  control::Directory& directory_;
  control::Tailnet& tailnet_;
  control::PolicyDesk& policy_;
  control::SshChecks& ssh_checks_;
  CachedBody users_;
  CachedBody pre_auth_keys_;
};

}  // namespace es::api

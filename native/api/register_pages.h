// The pages for people where something waits for an operator: /register/<id>, which an AuthURL
// leads to, and /auth/<id>, which somebody is shown who connects by SSH under a check rule.
//
// Everybody who has the id sees what waits and the command that approves it. An operator signs in
// with an API key, in a form of this page, and then approves (a machine: for a user) or rejects.
//
// Sign-in (docs/adr/0002): no cookie. The key is checked and forgotten; the answer carries a
// ticket, which is an HMAC by a key that lives as long as this process, over this id, the key's
// id and its own end ten minutes later, or when the key ends. Approve and reject need it. It exists
// only in that page, and so is what stops forged requests (CSRF): another site can neither read nor
// guess it, and the browser adds nothing by itself. The Origin field says nothing here: under
// Referrer-Policy no-referrer browsers send "null". Failed sign-ins and unknown ids count against a
// limit for each client.
//
// Ids are secrets: answers are never stored (the gate's headers), and neither path nor body is
// logged. Threads: handlers run on any thread at once.
#pragma once

#include "common/base/bytes.h"
#include "common/limit/limiter.h"
#include "native/control/ssh_checks.h"
#include "native/control/tailnet.h"
#include "native/net/router.h"

#include <functional>
#include <memory>

namespace es::api {

struct RegisterOptions {
  std::function<void(MutableBytes)> random;
  limit::Limit failures{10, Millis{60'000}, 0};  // wrong keys and unknown ids of one client
};

// Makes ready another limit for failures, and refuses one that cannot be. What it returns puts that
// in force, which cannot fail; if it differs from the last one, counting starts afresh.
using PrepareFailureLimit = std::function<Result<std::function<void()>>(const limit::Limit&)>;

// Directory, tailnet and checks must outlive the router. Refuses a limit that cannot be.
Result<PrepareFailureLimit> add_register_pages(net::Router& router, control::Directory& directory,
                                               control::Tailnet& tailnet,
                                               control::SshChecks& ssh_checks,
                                               RegisterOptions options);

}  // namespace es::api

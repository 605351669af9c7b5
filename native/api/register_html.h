// The pages behind /register/<id> and /auth/<id>, as HTML. Pure.
//
// What a client said of itself is escaped, cut, and freed of characters that would hide or reorder
// it.
#pragma once

#include "native/api/page.h"
#include "native/control/directory.h"
#include "native/control/registration.h"
#include "native/control/ssh_checks.h"

#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace es::api {

// What a client calls itself, for display: letters and digits of any script and printable ASCII;
// everything else becomes '?'; at most 64 characters. Not escaped.
std::string displayable(std::string_view text);

// A heading, a paragraph and, where there is one, a command to copy. All escaped here.
std::string message_page(std::string_view title, std::string_view text,
                         std::string_view command = {}, Tone tone = Tone::kPlain);

// What waits, the command that approves it, and the form for an operator's key. `complaint` is
// empty or says why the last attempt failed.
std::string registration_page(const control::PendingRegistration& registration, WallTime now,
                              std::string_view complaint);

// The same with the buttons of a signed-in operator; `ticket` comes back with each of them.
std::string decision_page(const control::PendingRegistration& registration, WallTime now,
                          std::string_view ticket,
                          std::span<const std::shared_ptr<const control::User>> users,
                          std::string_view complaint);

// The same two for an SSH log-in that waits, which needs no owner.
std::string ssh_check_page(const control::PendingSshCheck& check, WallTime now,
                           std::string_view complaint);
std::string ssh_decision_page(const control::PendingSshCheck& check, WallTime now,
                              std::string_view ticket);

}  // namespace es::api

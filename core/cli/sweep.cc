#include <unistd.h>

#include <set>

#include <fmt/format.h>

#include "core/cli/commands.h"
#include "core/os/own_process.h"
#include "core/os/session.h"

namespace mobula::cli {

int sweep(std::optional<std::uint32_t> uid) {
  const bool is_other = uid && *uid != ::geteuid();
  if (is_other) {
    // The root's own view of these directories could be led elsewhere; that user's cannot do more than the user may.
    if (const auto became = os::become_user(*uid); !became) return complain(became.error().what);
  }
  // An epilog has none of the variables by which the user's programs chose.
  const std::string user = std::to_string(::geteuid());
  std::set<std::string> roots{"/tmp/mobula-" + user, "/run/user/" + user + "/mobula"};
  if (!is_other) roots.insert(os::sessions_root());
  std::size_t removed = 0;
  int code = 0;
  for (const std::string& root : roots) {
    const auto swept = os::sweep_sessions(root);
    if (swept) removed += *swept;
    if (!swept && swept.error().code != base::Code::kNotFound) code = complain(swept.error().what);
  }
  if (removed != 0) fmt::print("removed {} dead session{}\n", removed, removed == 1 ? "" : "s");
  return code;
}

}  // namespace mobula::cli

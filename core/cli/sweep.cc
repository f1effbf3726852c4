#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "core/cli/commands.h"
#include "core/os/own_process.h"
#include "core/os/session.h"

namespace mobula::cli {
namespace {

// The last processes of a job whose epilog this is may still hold its sessions while the kernel takes them down.
constexpr auto kJobPatience = std::chrono::seconds(5);
constexpr auto kLookEvery = std::chrono::milliseconds(20);

bool has_session_of_job(const std::string& root, const std::string& job) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(root, none))
    if (entry.path().filename().string().starts_with("s-" + job + ".")) return true;
  return false;
}

}  // namespace

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
    auto swept = os::sweep_sessions(root);
    if (swept) removed += *swept;
    const char* const job = is_other || std::getenv("SLURM_STEP_ID") == nullptr ? std::getenv("SLURM_JOB_ID") : nullptr;
    const auto until = std::chrono::steady_clock::now() + kJobPatience;
    while (swept && job != nullptr && has_session_of_job(root, job) && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(kLookEvery);
      swept = os::sweep_sessions(root);
      if (swept) removed += *swept;
    }
    if (!swept && swept.error().code != base::Code::kNotFound) code = complain(swept.error().what);
  }
  if (removed != 0) fmt::print("removed {} dead session{}\n", removed, removed == 1 ? "" : "s");
  return code;
}

}  // namespace mobula::cli

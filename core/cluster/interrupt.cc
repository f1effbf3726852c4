#include "core/cluster/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <string>

namespace mobula::cluster {
namespace {

// What a signal handler may look at.  Written before the handler is set.
constexpr std::size_t kChildrenMax = 4096;
std::array<std::atomic<pid_t>, kChildrenMax> children;
std::atomic<EmbeddedCluster*> guarded{nullptr};
std::atomic<bool> interrupted{false};
static_assert(std::atomic<pid_t>::is_always_lock_free);
std::array<char, 4096> session{};

// The second one ends this process at once.  What it started removes the session when it ends after that; what ended
// before has left it to this process, so somebody else has to.
void handle_again(int) {
  if (session[0] != '\0' && ::vfork() == 0) {
    ::execl("/bin/rm", "rm", "-rf", "--", session.data(), nullptr);
    ::_exit(1);
  }
  ::signal(SIGINT, SIG_DFL);
  ::raise(SIGINT);
}

void handle(int) {
  interrupted.store(true);
  for (const auto& child : children) {
    if (child.load() == 0) break;
    ::kill(child.load(), SIGTERM);
  }
  ::signal(SIGINT, handle_again);
}

}  // namespace

InterruptGuard::InterruptGuard(EmbeddedCluster& cluster) {
  struct sigaction before {};
  if (::sigaction(SIGINT, nullptr, &before) != 0 || before.sa_handler != SIG_DFL || guarded.load() != nullptr) return;
  const auto pids = cluster.children();
  for (std::size_t i = 0; i < kChildrenMax; ++i) children[i].store(i < pids.size() ? pids[i] : 0);
  const std::string& directory = cluster.session_directory();
  session.fill('\0');
  if (directory.size() < session.size()) directory.copy(session.data(), directory.size());
  guarded.store(&cluster);
  interrupted.store(false);
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  installed_ = ::sigaction(SIGINT, &action, nullptr) == 0;
}

InterruptGuard::~InterruptGuard() {
  if (!installed_) return;
  ::signal(SIGINT, SIG_DFL);
  guarded.store(nullptr);
  children[0].store(0);
}

void end_if_interrupted() {
  EmbeddedCluster* const cluster = guarded.load();
  if (cluster == nullptr || !interrupted.load()) return;
  std::fflush(nullptr);
  cluster->end();
  ::signal(SIGINT, SIG_DFL);
  ::raise(SIGINT);
}

}  // namespace mobula::cluster

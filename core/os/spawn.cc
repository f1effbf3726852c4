#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>

#include "core/os/cgroup.h"
#include "core/os/error.h"
#include "core/os/memory_file.h"
#include "core/os/process.h"

// The C library's clone() under its other name: TSan replaces the usual one, and would take our memory, which the
// child shares, for that of a forked process.
extern "C" int __clone(int (*run)(void*), void* stack, int flags, void* argument, ...);  // NOLINT

namespace mobula::os {
namespace {

constexpr std::size_t kChildStackBytes = 64 * 1024;

// All that the child needs, prepared before it exists: between clone() and execve() it shares our memory
// and may neither allocate nor lock.
struct Plan {
  const char* path;
  const char* cwd;
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<std::pair<int, int>> fds;  // (ours, the child's), sorted by the child's number.
  std::vector<int> staged;               // Each source's number while the targets are being set.
  int first_free = 0;                    // Above every target.
  pid_t parent = 0;
  bool new_process_group = true;
  bool die_with_parent = true;
  std::uint64_t blocked = 0;  // Signals, as the kernel's mask.

  const char* failed = nullptr;  // What the child could not do, and errno.
  int error = 0;
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));  // execve() does not write.
  out.push_back(nullptr);
  return out;
}

// The child makes its system calls bare: wrappers of libc and of sanitizers keep tables in the memory that it
// shares with us.
template <class... Args>
long call(long number, Args... args) {
  return ::syscall(number, args...);
}

int fail(Plan& plan, const char* what) {
  plan.failed = what;
  plan.error = errno;
  return 127;
}

void close_between(unsigned first, unsigned last) {
  if (first > last || call(SYS_close_range, first, last, 0) == 0) return;
  rlimit limit{};  // A kernel before 5.9.
  call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  const auto end = std::min<rlim_t>(last, limit.rlim_cur);
  for (rlim_t fd = first; fd <= end; ++fd) call(SYS_close, fd);
}

// Sources may be other pairs' targets, so all move above the targets first.
bool place_fds(Plan& plan) {
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    plan.staged[i] = static_cast<int>(call(SYS_fcntl, plan.fds[i].first, F_DUPFD_CLOEXEC, plan.first_free));
    if (plan.staged[i] < 0) return false;
  }
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    if (call(SYS_dup3, plan.staged[i], plan.fds[i].second, 0) < 0) return false;
  }
  unsigned next = 3;
  for (const auto& [ours, theirs] : plan.fds) {
    const auto target = static_cast<unsigned>(theirs);
    if (target < next) continue;
    if (target > next) close_between(next, target - 1);
    next = target + 1;
  }
  close_between(next, UINT_MAX);
  return true;
}

constexpr std::uint64_t mask_of(int signal) { return std::uint64_t{1} << (signal - 1); }
constexpr std::uint64_t kEndSignals =
    mask_of(SIGTERM) | mask_of(SIGINT) | mask_of(SIGHUP) | mask_of(SIGUSR1) | mask_of(SIGUSR2) | mask_of(SIGXCPU);

// Handlers of ours must not run in the child; what is ignored stays so, as execve() has it, but SIGPIPE, which
// libraries ignore for themselves, and SIGCHLD: who inherits that never hears how its own children ended.
void reset_signals(std::uint64_t blocked) {
  struct KernelAction {  // The kernel's own struct sigaction.
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    std::uint64_t mask;
  };
  constexpr std::size_t kMaskBytes = sizeof(std::uint64_t);
  for (int number = 1; number <= 64; ++number) {
    KernelAction action{};
    if (call(SYS_rt_sigaction, number, nullptr, &action, kMaskBytes) != 0) continue;
    if (action.handler == SIG_DFL || (action.handler == SIG_IGN && number != SIGPIPE && number != SIGCHLD)) continue;
    action = {};
    call(SYS_rt_sigaction, number, &action, nullptr, kMaskBytes);
  }
  call(SYS_rt_sigprocmask, SIG_SETMASK, &blocked, nullptr, kMaskBytes);
}

int run_child(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  if (plan.die_with_parent) {
    if (call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return fail(plan, "prctl");
    if (call(SYS_getppid) != plan.parent) return 127;
  }
  if (plan.new_process_group && call(SYS_setpgid, 0, 0) != 0) return fail(plan, "setpgid");
  if (plan.cwd != nullptr && call(SYS_chdir, plan.cwd) != 0) return fail(plan, "chdir");
  if (!place_fds(plan)) return fail(plan, "passing descriptors");
  reset_signals(plan.blocked);
  call(SYS_execve, plan.path, plan.argv.data(), plan.env.data());
  return fail(plan, "execve");
}

// Blocks all signals of this thread while it lives.
class SignalBlock {
 public:
  SignalBlock() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalBlock() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

base::Result<pid_t> spawn(const SpawnOptions& options) {
  Plan plan{};
  plan.path = options.path.c_str();
  plan.cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  plan.argv = pointers(options.argv);
  plan.env = pointers(options.env);
  plan.fds = options.fds;
  plan.parent = ::getpid();
  plan.new_process_group = options.new_process_group;
  plan.die_with_parent = options.die_with_parent;
  plan.blocked = options.hold_end_signals ? kEndSignals : 0;
  std::sort(plan.fds.begin(), plan.fds.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  plan.staged.resize(plan.fds.size());
  plan.first_free = plan.fds.empty() ? 3 : std::max(3, plan.fds.back().second + 1);

  void* stack =
      ::mmap(nullptr, kChildStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return error_from_errno(errno, "a stack to start " + options.path);
  const Mapping stack_owner(stack, kChildStackBytes);

  // As vfork(): we stand still until the child has called execve() or is gone, so that the cost does not
  // grow with our memory and the child's failure can be read from the plan.
  const SignalBlock block;
  const pid_t pid =
      __clone(run_child, static_cast<char*>(stack) + kChildStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
  if (pid < 0) {
    const int why = errno;
    base::Error error = error_from_errno(why, "starting " + options.path);
    error.what = "starting " + options.path + ": " + describe_no_process(why);
    return error;
  }
  if (plan.error != 0) {
    wait_for(pid);
    return error_from_errno(plan.error, "starting " + options.path + ": " + plan.failed);
  }
  return pid;
}

}  // namespace mobula::os

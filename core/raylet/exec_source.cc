#include "core/raylet/exec_source.h"

#include <signal.h>
#include <sys/epoll.h>

#include <utility>

#include "core/cluster/environment.h"

namespace mobula::raylet {
namespace {

constexpr int kChildSecret = 3;

}  // namespace

ExecSource::ExecSource(os::EventLoop& loop, WorkerProgram program, Events events)
    : loop_(loop), program_(std::move(program)), events_(std::move(events)) {}

ExecSource::~ExecSource() {
  *alive_ = false;
  for (auto& [pid, child] : children_) {
    loop_.remove(child.watch);
    ::kill(-pid, SIGKILL);
  }
  for (auto& [pid, child] : children_) os::wait_for(pid);
}

void ExecSource::start(const WorkerOrder& order) {
  os::SpawnOptions options;
  options.path = program_.exe;
  options.argv = program_.argv;
  options.env = program_.env;
  options.env.push_back(cluster::assignment(cluster::kEnvRole, "worker"));
  options.env.push_back(cluster::assignment(cluster::kEnvWorkerId, order.worker.hex()));
  options.env.push_back(cluster::assignment(cluster::kEnvJobId, order.job.hex()));
  options.env.push_back(cluster::assignment(cluster::kEnvStartToken, std::to_string(order.token)));
  options.env.push_back(cluster::assignment(cluster::kEnvSecretFd, std::to_string(kChildSecret)));
  options.cwd = program_.cwd;
  options.fds = {{order.stdout_fd, 1}, {order.stderr_fd, 2}, {program_.secret_fd, kChildSecret}};
  const auto pid = os::spawn(options);
  if (!pid) {
    loop_.post([this, alive = alive_, token = order.token, why = pid.error().what] {
      if (*alive) events_.failed(token, why);
    });
    return;
  }
  Child& child = children_[*pid];
  child.pidfd = os::open_pidfd(*pid);
  if (child.pidfd.valid()) {
    child.watch = loop_.watch(child.pidfd.get(), EPOLLIN, [this, pid = *pid](std::uint32_t) { ended(pid); });
  } else {
    ::kill(-*pid, SIGKILL);  // Out of descriptors: a child that cannot be watched must not run.
    loop_.post([this, alive = alive_, pid = *pid] {
      if (*alive) ended(pid);
    });
  }
  child.token = order.token;
  loop_.post([this, alive = alive_, pid = *pid] {
    if (*alive) announce(pid);
  });
}

void ExecSource::announce(pid_t pid) {
  const auto it = children_.find(pid);
  if (it == children_.end() || std::exchange(it->second.announced, true)) return;
  events_.started(it->second.token, pid);
}

void ExecSource::kill(pid_t pid) {
  if (children_.contains(pid)) ::kill(-pid, SIGKILL);
}

void ExecSource::ended(pid_t pid) {
  announce(pid);
  const auto it = children_.find(pid);
  if (it == children_.end()) return;
  loop_.remove(it->second.watch);
  children_.erase(it);
  ::kill(-pid, SIGKILL);  // While its number is still taken.
  const os::ExitStatus status = os::wait_for(pid);
  events_.exited(pid, status);
}

}  // namespace mobula::raylet

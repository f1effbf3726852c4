#include "core/cluster/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/cluster/child_environment.h"
#include "core/cluster/environment.h"
#include "core/cluster/limits.h"
#include "core/os/error.h"
#include "core/os/event_loop.h"
#include "core/os/host.h"
#include "core/os/memory_file.h"
#include "core/os/own_process.h"
#include "core/os/process.h"
#include "core/worker/spin_tokens.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

// Numbers of what a child inherits.  3 is the secret; the others follow in the order of the role's options.
constexpr int kSecretFd = 3;
constexpr int kFirstFd = 4;
constexpr std::size_t kLogTailBytes = 2000;
// A child that is still starting takes two SIGTERM for one, and if the first of them was a batch system's, which is not
// meant for it, it has not heard ours.
constexpr auto kTellEvery = std::chrono::milliseconds(100);

Result<std::pair<os::Fd, os::Fd>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os::error_from_errno(errno, "a pipe");
  return std::pair(os::Fd(ends[0]), os::Fd(ends[1]));
}

Result<os::Fd> make_spin_page() {
  auto page = os::make_memory_file("mobula-spin", runtime::SpinTokens::kBytes);
  if (!page) return page.error();
  const auto mapping = os::map_file(*page, 0, runtime::SpinTokens::kBytes, os::Access::kReadWrite);
  if (!mapping) return mapping.error();
  (void)runtime::SpinTokens::format({mapping->data(), mapping->size()}, os::cpus_available());
  return page;
}

std::string tail_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() <= kLogTailBytes ? all : all.substr(all.size() - kLogTailBytes);
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> out;
  std::stringstream stream(line);
  for (std::string field; std::getline(stream, field, '\t');) out.push_back(field);
  out.resize(std::max<std::size_t>(out.size(), 4));
  return out;
}

}  // namespace

Result<Launch> Launch::prepare(const Options& options, const os::Secret& secret) {
  if (const auto enough = check_limits(0); !enough) return enough.error();
  Launch out;
  out.options_ = options;
  ::mkdir((options.session_directory + "/logs").c_str(), 0700);
  auto file = secret.to_memory_file();
  if (!file) return file.error();
  out.secret_ = std::move(*file);
  if (options.owner == Owner::kUs) out.life_ = os::open_pidfd(::getpid());
  auto page = make_spin_page();
  if (!page) return page.error();
  out.spin_page_ = std::move(*page);
  auto ready = make_pipe();
  auto listening = make_pipe();
  if (!ready) return ready.error();
  if (!listening) return listening.error();
  std::tie(out.ready_read_, out.ready_write_) = std::move(*ready);
  std::tie(out.listening_read_, out.listening_write_) = std::move(*listening);
  if (options.watch_nodes) {
    auto joined = make_pipe();
    if (!joined) return joined.error();
    std::tie(out.joined_read_, out.joined_write_) = std::move(*joined);
    // A GCS must not wait for whoever reads this.
    ::fcntl(out.joined_write_.get(), F_SETFL, O_NONBLOCK);
    ::fcntl(out.joined_read_.get(), F_SETFL, O_NONBLOCK);
  }
  out.null_ = os::Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  return out;
}

Result<void> Launch::start_gcs(GcsOptions options) {
  options.session_directory = options_.session_directory;
  options.ready_fd = kFirstFd;
  options.listening_fd = kFirstFd + 1;
  std::vector<int> fds{ready_write_.get(), listening_write_.get()};
  if (life_.valid()) {
    options.life_fd = kFirstFd + static_cast<int>(fds.size());
    fds.push_back(life_.get());
  }
  if (joined_write_.valid()) {
    options.joined_fd = kFirstFd + static_cast<int>(fds.size());
    fds.push_back(joined_write_.get());
  }
  auto started = spawn("gcs", "gcs", print(options), std::move(fds));
  joined_write_.reset();
  listening_write_.reset();  // Its only holder is the GCS now: the end of the pipe says that it listens, or is gone.
  return started;
}

Result<void> Launch::start_raylet(RayletOptions options) {
  if (auto enough = check_limits(options.store_bytes); !enough) return enough;
  options.session_directory = options_.session_directory;
  options.ready_fd = kFirstFd;
  options.spin_page_fd = kFirstFd + 1;
  options.gcs_listening_fd = kFirstFd + 2;
  std::vector<int> fds{ready_write_.get(), spin_page_.get(), listening_read_.get()};
  if (listening_write_.valid()) {  // There is no GCS of ours to wait for.
    options.gcs_listening_fd = -1;
    fds.pop_back();
  }
  if (life_.valid()) {
    options.life_fd = kFirstFd + static_cast<int>(fds.size());
    fds.push_back(life_.get());
  }
  return spawn("raylet", options.name, print(options), std::move(fds));
}

std::string Launch::log_of(const std::string& name) const {
  return options_.session_directory + "/logs/" + name + ".log";
}

Result<void> Launch::spawn(const std::string& role, const std::string& name, const std::string& options,
                           std::vector<int> fds) {
  const os::Fd log(::open(log_of(name).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log.valid()) return os::error_from_errno(errno, "the log " + log_of(name));
  os::SpawnOptions spawn;
  spawn.path = options_.exe;
  if (options_.owner == Owner::kUs) spawn.argv = os::command_line();
  if (spawn.argv.empty()) spawn.argv = {"mobula-" + role, name};
  spawn.env = child_environment(os::environment());
  spawn.env.push_back(assignment(kEnvRole, role));
  spawn.env.push_back(assignment(kEnvRoleOptions, options));
  spawn.env.push_back(assignment(kEnvSession, options_.session_directory));
  spawn.env.push_back(assignment(kEnvSecretFd, std::to_string(kSecretFd)));
  spawn.fds = {{null_.get(), 0}, {log.get(), 1}, {log.get(), 2}, {secret_.get(), kSecretFd}};
  for (std::size_t i = 0; i < fds.size(); ++i) spawn.fds.emplace_back(fds[i], kFirstFd + static_cast<int>(i));
  spawn.die_with_parent =
      false;  // It ends by itself, in order, when its owner is gone: a SIGKILL would leave its workers' children.
  spawn.hold_end_signals = true;
  const auto pid = os::spawn(spawn);
  if (!pid) return pid.error();
  children_.push_back({*pid, name, os::open_pidfd(*pid)});
  return {};
}

Error Launch::ended(const Child& child) const {
  const auto status = os::reap(child.pid);
  return {Code::kUnavailable, child.name + " ended while it started, with " +
                                  (status ? status->to_string() : "unknown status") +
                                  "; its log says: " + tail_of(log_of(child.name))};
}

Result<void> Launch::take_line(const std::string& line, Ready& ready) {
  const auto fields = fields_of(line);
  if (fields[0] == "error") return Error{Code::kUnavailable, fields[1] + " could not start: " + fields[2]};
  ++ready_count_;
  if (fields[1] == "gcs") {
    ready.gcs_address = fields[2];
    ready.gcs_tcp_address = fields[3];
  } else {
    ready.raylets[fields[1]] = fields[2];
  }
  return {};
}

Result<Launch::Ready> Launch::wait(base::Duration patience, int stop_fd) {
  const base::Time until = os::now() + patience;
  std::string text;
  while (ready_count_ < children_.size()) {
    std::vector<pollfd> polled{{ready_read_.get(), POLLIN, 0}};
    for (const Child& child : children_) polled.push_back({child.pidfd.get(), POLLIN, 0});
    polled.push_back({stop_fd, POLLIN, 0});
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - os::now());
    const int n = left.count() <= 0 ? 0 : ::poll(polled.data(), polled.size(), static_cast<int>(left.count()));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Error{Code::kDeadline, "the cluster did not start in time"};
    if (polled.back().revents != 0) return Error{Code::kCancelled, "interrupted while the cluster started"};
    if (polled[0].revents != 0) {
      std::array<char, 4096> buffer;
      const ssize_t got = ::read(ready_read_.get(), buffer.data(), buffer.size());
      if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
      for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
        const auto taken = take_line(text.substr(0, end), ready_);
        if (!taken) return taken.error();
        text.erase(0, end + 1);
      }
      if (got > 0) continue;
    }
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (polled[i + 1].revents != 0) return ended(children_[i]);
    }
  }
  return ready_;
}

void end_children(std::vector<Launch::Child>& children, base::Duration patience) {
  const base::Time until = os::now() + patience;
  const auto tell_all = [&children] {
    for (const auto& child : children) ::kill(child.pid, SIGTERM);
  };
  tell_all();
  for (const auto& child : children) {
    pollfd polled{child.pidfd.get(), POLLIN, 0};
    while (polled.revents == 0) {
      const base::Duration left = until - os::now();
      if (left <= base::Duration::zero()) {
        ::kill(-child.pid, SIGKILL);
        break;
      }
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::min<base::Duration>(left, kTellEvery));
      if (::poll(&polled, 1, static_cast<int>(wait.count())) == 0) tell_all();
    }
  }
  for (const auto& child : children) os::wait_for(child.pid);
  children.clear();
}

}  // namespace mobula::cluster

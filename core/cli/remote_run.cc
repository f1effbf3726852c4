// run --hosts: a program on several hosts by ssh, one task on each.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "core/cli/commands.h"
#include "core/cli/remote_wire.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "slurm/host_list.h"
#include "slurm/pmi_server.h"

namespace mobula::cli {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr auto kEndTime = std::chrono::seconds(15);  // Of the others, once rank 0 has ended.

// A file with a host a line ("n1", "n1 slots=4", "# ..."), else a list ("n[1-4],login1").
Result<std::vector<std::string>> hosts_of(const std::string& what) {
  std::ifstream file(what);
  if (!file) return slurm::parse_host_list(what);
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);) {
    std::stringstream words(line.substr(0, line.find('#')));
    std::string list;
    if (!(words >> list)) continue;
    const auto hosts = slurm::parse_host_list(list);
    if (!hosts) return Error{Code::kInvalid, what + ": " + hosts.error().what};
    out.insert(out.end(), hosts->begin(), hosts->end());
  }
  return out;
}

// One host's ssh.
struct Remote {
  std::string host;
  pid_t pid = 0;
  os::Fd to, from;
  FrameReader reader;
  std::optional<int> code;
};

class Start {
 public:
  Start(std::vector<std::string> hosts, const std::vector<std::string>& command)
      : server_(static_cast<std::uint32_t>(hosts.size()), "mobula-" + os::random_id<base::JobId>().short_hex()) {
    RemoteStart start;
    start.size = static_cast<std::uint32_t>(hosts.size());
    start.argv = command;
    if (char* cwd = ::get_current_dir_name()) {
      start.cwd = cwd;
      std::free(cwd);
    }
    if (command.front().find('/') != std::string::npos && command.front().front() != '/')
      start.argv.front() = start.cwd + "/" + command.front();
    for (const auto& entry : os::environment()) {
      if (entry.rfind("MOBULA_", 0) == 0) start.environment.push_back(entry);
    }
    for (auto& host : hosts) {
      remotes_.emplace_back();
      remotes_.back().host = std::move(host);
      launch(remotes_.back(), start);
      ++start.rank;
    }
  }
  ~Start() {
    for (auto& remote : remotes_) {
      remote.to.reset();
      if (remote.pid > 0) os::wait_for(remote.pid);
    }
  }

  int run() {
    std::optional<base::Time> end_by;
    while (open() > 0) {
      std::vector<pollfd> polled;
      for (const auto& remote : remotes_) polled.push_back({remote.from.get(), POLLIN, 0});
      const auto left = end_by ? std::chrono::ceil<std::chrono::milliseconds>(*end_by - os::now()).count() : -1;
      if (end_by && left <= 0) break;
      if (::poll(polled.data(), polled.size(), static_cast<int>(left)) < 0) continue;
      for (std::size_t i = 0; i < remotes_.size(); ++i) {
        if (polled[i].revents != 0) take(static_cast<std::uint32_t>(i));
      }
      if (remotes_.front().code && !end_by) end_by = os::now() + kEndTime;
      // Without rank 0 there is no cluster, and it cannot begin without the others.
      if (lost_) return complain("host " + *lost_ + ": ssh ended before the program did");
    }
    return remotes_.front().code.value_or(1);
  }

 private:
  void launch(Remote& remote, const RemoteStart& start) {
    std::array<int, 2> to{-1, -1}, from{-1, -1};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) return;
    remote.to = os::Fd(to[1]);
    remote.from = os::Fd(from[0]);
    const os::Fd in(to[0]), out(from[1]);
    const char* agent = std::getenv("MOBULA_RSH");
    os::SpawnOptions spawn;
    spawn.path = "/usr/bin/env";
    spawn.argv = {"env", agent == nullptr ? "ssh" : agent, remote.host, os::self_exe(), "task"};
    spawn.env = os::environment();
    spawn.fds = {{in.get(), 0}, {out.get(), 1}};
    const auto pid = os::spawn(spawn);
    if (!pid) return;
    remote.pid = *pid;
    (void)send_frame(remote.to.get(), FrameKind::kStart, encode(start));
  }

  std::size_t open() const {
    std::size_t n = 0;
    for (const auto& remote : remotes_) n += remote.from.valid() ? 1 : 0;
    return n;
  }

  void take(std::uint32_t rank) {
    Remote& remote = remotes_[rank];
    std::string bytes(64 * 1024, '\0');
    const ssize_t n = ::read(remote.from.get(), bytes.data(), bytes.size());
    if (n <= 0) {
      remote.from.reset();
      if (!remote.code && !remotes_.front().code) lost_ = remote.host;
      return;
    }
    remote.reader.append(std::string_view(bytes).substr(0, static_cast<std::size_t>(n)));
    while (const auto frame = remote.reader.next()) handle(rank, *frame);
    if (remote.reader.is_bad()) remote.from.reset();
  }

  void handle(std::uint32_t rank, const RemoteFrame& frame) {
    switch (frame.kind) {
      case FrameKind::kPmi:
        for (const auto& line : server_.take(rank, frame.bytes))
          (void)send_frame(remotes_[line.task].to.get(), FrameKind::kPmi, line.text);
        break;
      case FrameKind::kOut:
        std::fwrite(frame.bytes.data(), 1, frame.bytes.size(), stdout);
        std::fflush(stdout);
        break;
      case FrameKind::kErr: std::fwrite(frame.bytes.data(), 1, frame.bytes.size(), stderr); break;
      case FrameKind::kExit:
        remotes_[rank].code = frame.bytes.empty() ? 1 : static_cast<unsigned char>(frame.bytes[0]);
        remotes_[rank].from.reset();
        break;
      case FrameKind::kStart: break;
    }
  }

  slurm::PmiServer server_;
  std::vector<Remote> remotes_;
  std::optional<std::string> lost_;
};

}  // namespace

int run_on_hosts(const std::string& where, const std::vector<std::string>& command) {
  ::signal(SIGPIPE, SIG_IGN);
  auto hosts = hosts_of(where);
  if (!hosts) return complain("--hosts: " + hosts.error().what), 2;
  if (hosts->empty()) return complain("--hosts names no host"), 2;
  return Start(std::move(*hosts), command).run();
}

}  // namespace mobula::cli

// task: what `mobula run --hosts` starts on each host by ssh.  Runs the program beside a pipe for PMI, and hands its
// output over.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/cli/commands.h"
#include "core/cli/remote_wire.h"
#include "core/cluster/environment.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"

namespace mobula::cli {
namespace {

constexpr int kPmiFd = 3;
constexpr auto kEndTime = std::chrono::seconds(5);

std::pair<os::Fd, os::Fd> make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  return {os::Fd(ends[0]), os::Fd(ends[1])};
}

std::string read_some(int fd) {
  std::string out(64 * 1024, '\0');
  const ssize_t n = ::read(fd, out.data(), out.size());
  out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return out;
}

std::vector<std::string> environment_of(const RemoteStart& start) {
  std::vector<std::string> out = os::environment();
  out.insert(out.end(), start.environment.begin(), start.environment.end());
  for (const auto& [name, value] : {std::pair<const char*, std::string>("PMI_RANK", std::to_string(start.rank)),
                                    {"PMI_SIZE", std::to_string(start.size)},
                                    {"PMI_LOCAL_RANK", "0"},
                                    {"PMI_LOCAL_SIZE", "1"},
                                    {"PMI_FD", std::to_string(kPmiFd)}}) {
    out.push_back(cluster::assignment(name, value));
  }
  return out;
}

class Task {
 public:
  explicit Task(FrameReader reader) : reader_(std::move(reader)) {}

  bool begin(const RemoteStart& start) {
    std::array<int, 2> pmi{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pmi.data()) != 0) return false;
    pmi_ = os::Fd(pmi[0]);
    const os::Fd theirs(pmi[1]);
    auto [out, out_end] = make_pipe();
    auto [err, err_end] = make_pipe();
    const os::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    os::SpawnOptions spawn;
    const bool is_path = start.argv.front().find('/') != std::string::npos;
    spawn.path = is_path ? start.argv.front() : "/usr/bin/env";
    spawn.argv = start.argv;
    if (!is_path) spawn.argv.insert(spawn.argv.begin(), "env");
    spawn.env = environment_of(start);
    spawn.cwd = start.cwd;
    spawn.fds = {{null.get(), 0}, {out_end.get(), 1}, {err_end.get(), 2}, {theirs.get(), kPmiFd}};
    const auto pid = os::spawn(spawn);
    if (!pid) {
      (void)send_frame(STDOUT_FILENO, FrameKind::kErr, "mobula: " + pid.error().what + "\n");
      (void)send_frame(STDOUT_FILENO, FrameKind::kExit, std::string(1, 127));
      return false;
    }
    pid_ = *pid;
    out_ = std::move(out);
    err_ = std::move(err);
    return true;
  }

  // Until the program has ended and all its output is on its way, or the other end is gone.
  void run() {
    while (out_.valid() || err_.valid()) {
      std::array<pollfd, 4> polled{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{pmi_.get(), POLLIN, 0},
                                   pollfd{out_.get(), POLLIN, 0}, pollfd{err_.get(), POLLIN, 0}};
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[1].revents != 0) take_pmi();
      if (polled[2].revents != 0) pass_on(out_, FrameKind::kOut);
      if (polled[3].revents != 0) pass_on(err_, FrameKind::kErr);
      if (polled[0].revents != 0 && !take_frames()) return end();
    }
    const auto status = os::wait_for(pid_);
    const int code = status.signaled ? 128 + status.code : status.code;
    (void)send_frame(STDOUT_FILENO, FrameKind::kExit, std::string(1, static_cast<char>(code)));
  }

 private:
  void pass_on(os::Fd& from, FrameKind kind) {
    const std::string bytes = read_some(from.get());
    if (bytes.empty() || !send_frame(STDOUT_FILENO, kind, bytes)) from.reset();
  }
  void take_pmi() {
    const std::string bytes = read_some(pmi_.get());
    if (bytes.empty()) return pmi_.reset();
    lines_ += bytes;
    for (std::size_t end = lines_.find('\n'); end != std::string::npos; end = lines_.find('\n')) {
      (void)send_frame(STDOUT_FILENO, FrameKind::kPmi, lines_.substr(0, end));
      lines_.erase(0, end + 1);
    }
  }
  bool take_frames() {
    const std::string bytes = read_some(STDIN_FILENO);
    reader_.append(bytes);
    while (const auto frame = reader_.next()) {
      const std::string line = frame->bytes + "\n";
      if (frame->kind == FrameKind::kPmi && pmi_.valid())
        (void)::send(pmi_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    }
    return !bytes.empty() && !reader_.is_bad();
  }
  // ssh has ended, or whoever started it.
  void end() {
    ::kill(-pid_, SIGTERM);
    const os::Fd pidfd = os::open_pidfd(pid_);
    pollfd polled{pidfd.get(), POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(std::chrono::milliseconds(kEndTime).count())) <= 0) ::kill(-pid_, SIGKILL);
    os::wait_for(pid_);
  }

  FrameReader reader_;
  os::Fd pmi_, out_, err_;
  std::string lines_;
  pid_t pid_ = 0;
};

}  // namespace

int remote_task() {
  ::signal(SIGPIPE, SIG_IGN);
  FrameReader reader;
  for (;;) {
    const std::string bytes = read_some(STDIN_FILENO);
    if (bytes.empty()) return complain("task is started by mobula run --hosts"), 2;
    reader.append(bytes);
    const auto frame = reader.next();
    if (!frame && reader.is_bad()) return 2;
    if (!frame) continue;
    const auto start = decode_remote_start(frame->bytes);
    if (frame->kind != FrameKind::kStart || !start) return 2;
    Task task(std::move(reader));
    if (task.begin(*start)) task.run();
    return 0;
  }
}

}  // namespace mobula::cli

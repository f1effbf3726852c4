#include "core/raylet/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/cluster/environment.h"
#include "core/os/cgroup.h"
#include "core/os/error.h"

namespace mobula::raylet {
namespace {

using base::Result;

constexpr int kChildSocket = 3;
constexpr int kChildSecret = 4;
// What a zygote has for killing and reaping its workers, before it is killed itself.
constexpr int kEndMs = 2000;
constexpr std::size_t kLastWordsBytes = 600;

os::ExitStatus exit_status(const ZygoteReport& report) {
  const auto most_resident_kib = static_cast<std::int64_t>(report.token);
  if (WIFSIGNALED(report.value)) return {true, WTERMSIG(report.value), most_resident_kib};
  return {false, WEXITSTATUS(report.value), most_resident_kib};
}

}  // namespace

Result<std::unique_ptr<Zygote>> Zygote::spawn(os::EventLoop& loop, const WorkerProgram& program, Events events,
                                              std::function<void(int)> unsuitable) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return os::error_from_errno(errno, "a socket for a zygote");
  }
  os::Fd ours(pair[0]);
  const os::Fd theirs(pair[1]);
  os::SpawnOptions options;
  options.path = program.exe;
  options.argv = program.argv;
  options.env = program.env;
  options.env.push_back(cluster::assignment(cluster::kEnvRole, "zygote"));
  options.env.push_back(cluster::assignment(cluster::kEnvZygoteFd, std::to_string(kChildSocket)));
  options.env.push_back(cluster::assignment(cluster::kEnvSecretFd, std::to_string(kChildSecret)));
  options.cwd = program.cwd;
  options.fds = {{theirs.get(), kChildSocket}, {program.secret_fd, kChildSecret}};
  os::Fd log;
  if (!program.log.empty()) {
    constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC;
    log = os::Fd(::open(program.log.c_str(), kFlags, 0600));
  }
  if (log.valid()) options.fds.insert(options.fds.end(), {{log.get(), STDOUT_FILENO}, {log.get(), STDERR_FILENO}});
  const auto pid = os::spawn(options);
  if (!pid) return pid.error();
  return std::unique_ptr<Zygote>(
      new Zygote(loop, std::move(events), std::move(unsuitable), std::move(ours), *pid, std::move(log), program.log));
}

Zygote::Zygote(os::EventLoop& loop, Events events, std::function<void(int)> unsuitable, os::Fd socket, pid_t pid,
               os::Fd log, std::string log_path)
    : loop_(loop),
      events_(std::move(events)),
      unsuitable_(std::move(unsuitable)),
      socket_(std::move(socket)),
      pid_(pid),
      log_(std::move(log)),
      log_path_(std::move(log_path)) {
  watch_ = loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { readable(); });
}

Zygote::~Zygote() {
  *alive_ = false;
  if (log_.valid() && ::lseek(log_.get(), 0, SEEK_END) == 0) ::unlink(log_path_.c_str());
  if (gone_) return;
  loop_.remove(watch_);
  socket_.reset();  // Tells it to end.
  const os::Fd pidfd = os::open_pidfd(pid_);
  pollfd polled{pidfd.get(), POLLIN, 0};
  if (::poll(&polled, 1, kEndMs) <= 0) {
    for (const pid_t worker : workers_) ::kill(-worker, SIGKILL);
    ::kill(-pid_, SIGKILL);
  }
  os::wait_for(pid_);
}

void Zygote::start(const WorkerOrder& order) {
  ordered_.insert(order.token);
  if (gone_) return fail_later(order.token, "the zygote has ended");
  ZygoteRequest request;
  request.token = order.token;
  request.worker = order.worker;
  request.job = order.job;
  const std::array<int, kForkDescriptors> fds{order.stdout_fd, order.stderr_fd};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
  iovec data{&request, sizeof request};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(c), fds.data(), sizeof fds);
  if (::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    fail_later(order.token, std::string("asking the zygote: ") + std::strerror(errno));
  }
}

void Zygote::fail_later(std::uint64_t token, std::string why) {
  loop_.post([this, alive = alive_, token, why = std::move(why)] {
    if (*alive && ordered_.erase(token) != 0) events_.failed(token, why);
  });
}

void Zygote::kill(pid_t pid) {
  if (gone_ || !workers_.contains(pid)) return;
  ZygoteRequest request;
  request.kind = ZygoteRequest::Kind::kKill;
  request.pid = pid;
  // A full socket is full of orders to fork; then the group is killed from here, where its leader may just have
  // been reaped: the number is not given out again that soon.
  if (::send(socket_.get(), &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) ::kill(-pid, SIGKILL);
}

void Zygote::readable() {
  const auto alive = alive_;
  for (;;) {
    std::array<std::byte, sizeof(ZygoteReport) + 1> packet;  // One more: a packet that is too long is told from others.
    const ssize_t n = ::recv(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    const auto report =
        decode_report(base::ConstBytes(packet).first(static_cast<std::size_t>(std::max<ssize_t>(0, n))));
    if (!report) return lost();
    take(*report);
    if (!*alive) return;  // Whoever was told has destroyed us.
  }
}

void Zygote::take(const ZygoteReport& report) {
  const auto pid = static_cast<pid_t>(report.pid);
  switch (report.kind) {
    case ZygoteReport::Kind::kHello:
      if (report.value != 1) unsuitable_(report.value);
      return;
    case ZygoteReport::Kind::kForked:
      workers_.insert(pid);
      ordered_.erase(report.token);
      return events_.started(report.token, pid);
    case ZygoteReport::Kind::kForkFailed:
      if (ordered_.erase(report.token) == 0) return;
      return events_.failed(report.token, "fork: " + os::describe_no_process(report.value));
    case ZygoteReport::Kind::kExited: workers_.erase(pid); return events_.exited(pid, exit_status(report));
  }
}

// The end of what the program wrote, in one line: where the loader lacks a library, its complaint.
std::string Zygote::last_words() const {
  std::array<char, kLastWordsBytes> tail;
  const off_t end = log_.valid() ? ::lseek(log_.get(), 0, SEEK_END) : 0;
  const off_t begin = std::max<off_t>(0, end - static_cast<off_t>(tail.size()));
  const ssize_t n = end <= 0 ? 0 : ::pread(log_.get(), tail.data(), tail.size(), begin);
  std::string words(tail.data(), static_cast<std::size_t>(std::max<ssize_t>(0, n)));
  while (!words.empty() && words.back() == '\n') words.pop_back();
  std::replace(words.begin(), words.end(), '\n', ' ');
  return words;
}

// Its workers die with it (pdeathsig); what they started does not, but by our hand.
void Zygote::lost() {
  gone_ = true;
  loop_.remove(watch_);
  for (const pid_t worker : workers_) ::kill(-worker, SIGKILL);
  ::kill(-pid_, SIGKILL);
  std::string why = "the zygote ended with " + os::wait_for(pid_).to_string();
  if (const std::string words = last_words(); !words.empty()) why += "; it wrote: " + words;
  const auto alive = alive_;
  const auto ordered = std::exchange(ordered_, {});
  const auto workers = std::exchange(workers_, {});
  for (const std::uint64_t token : ordered) {
    events_.failed(token, why);
    if (!*alive) return;
  }
  for (const pid_t worker : workers) {
    events_.exited(worker, os::ExitStatus{true, SIGKILL, 0});
    if (!*alive) return;
  }
  events_.ended(why);
}

}  // namespace mobula::raylet

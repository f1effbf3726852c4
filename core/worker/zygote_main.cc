#include "core/worker/zygote_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>

#include "core/cluster/environment.h"
#include "core/os/fd.h"
#include "core/os/own_process.h"
#include "core/os/process.h"
#include "core/raylet/zygote_wire.h"
#include "transport/handshake.h"

namespace mobula::worker {
namespace {

using base::Code;
using base::Error;
using base::Result;
using raylet::ZygoteReport;
using raylet::ZygoteRequest;

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

template <class Number>
std::optional<Number> parse(std::string_view text, int radix = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class Id>
std::optional<Id> parse_id(std::string_view hex) {
  if (hex.size() != 2 * Id::kBytes) return std::nullopt;
  std::array<unsigned char, Id::kBytes> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = parse<unsigned char>(hex.substr(2 * i, 2), 16);
    if (!byte) return std::nullopt;
    bytes[i] = *byte;
  }
  return Id::from_bytes(bytes.data());
}

int count_threads() {
  DIR* tasks = ::opendir("/proc/self/task");
  if (tasks == nullptr) return 1;
  int count = 0;
  while (const dirent* entry = ::readdir(tasks)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(tasks);
  return count;
}

// One handshake with ourselves: the cryptographic library sets itself up once here, not in each worker (1.5 ms).
void warm_up() {
  using transport::Handshake;
  const transport::Credentials nobody;
  Handshake::Options server_options;
  server_options.role = Handshake::Role::kServer;
  Handshake client({}, nobody);
  Handshake server(server_options, nobody);
  base::Buffer to_client;
  base::Buffer to_server;
  server.start(to_client);
  client.start(to_server);
  // Each feeds the other what it wants; both are done after a few turns.
  std::size_t at_client = 0;
  std::size_t at_server = 0;
  for (int turn = 0; turn < 16 && !(client.done() && server.done()); ++turn) {
    const auto feed = [](Handshake& to, base::Buffer& in, std::size_t& at, base::Buffer& out) {
      const std::size_t bytes = std::min(to.wants(), in.size() - at);
      if (bytes == 0 || !to.feed(in.view().subspan(at, bytes), out)) return;
      at += bytes;
    };
    feed(client, to_client, at_client, to_server);
    feed(server, to_server, at_server, to_client);
  }
}

// What arrived with one packet.
struct Packet {
  ZygoteRequest request;
  std::array<os::Fd, raylet::kForkDescriptors> output;
  std::size_t descriptors = 0;
};

class ZygoteLoop {
 public:
  explicit ZygoteLoop(int socket) : socket_(socket) {}

  // The request that this process, a child now, is to serve.
  ZygoteRequest run();

 private:
  void report(const ZygoteReport& report) const;
  bool receive(Packet& packet);
  bool fork_worker(Packet& packet);
  void become_worker(Packet& packet, pid_t zygote);
  void reap_children();
  [[noreturn]] void end();

  os::Fd socket_;
  os::Fd signals_;
  sigset_t before_{};
  struct sigaction child_action_ {};  // What the program wants in its workers.
  std::set<pid_t> children_;
  bool closed_ = false;
};

void ZygoteLoop::report(const ZygoteReport& report) const {
  // The raylet reads as fast as it asks; should it not, waiting for it is right.
  while (::send(socket_.get(), &report, sizeof report, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

bool ZygoteLoop::receive(Packet& packet) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * raylet::kForkDescriptors)> control{};
  iovec data{&packet.request, sizeof packet.request};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) closed_ = true;
    return false;
  }
  if (n == 0) {
    closed_ = true;
    return false;
  }
  std::size_t have = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count && have < packet.output.size(); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      packet.output[have++] = os::Fd(fd);
    }
  }
  if (!raylet::decode_request({reinterpret_cast<const std::byte*>(&packet.request), static_cast<std::size_t>(n)})) {
    closed_ = true;
    return false;
  }
  packet.descriptors = have;
  return true;
}

// True in the child.
bool ZygoteLoop::fork_worker(Packet& packet) {
  if (packet.descriptors != packet.output.size()) {  // They are lost when our table is full.
    report({ZygoteReport::Kind::kForkFailed, EMFILE, 0, packet.request.token});
    return false;
  }
  const pid_t zygote = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    become_worker(packet, zygote);
    return true;
  }
  if (pid < 0) {
    report({ZygoteReport::Kind::kForkFailed, errno, 0, packet.request.token});
    return false;
  }
  ::setpgid(pid, pid);  // The child does it too: whoever comes first.
  children_.insert(pid);
  report({ZygoteReport::Kind::kForked, 0, pid, packet.request.token});
  return false;
}

void ZygoteLoop::become_worker(Packet& packet, pid_t zygote) {
  os::die_with_parent(zygote);
  ::setpgid(0, 0);
  ::dup2(packet.output[0].get(), STDOUT_FILENO);
  ::dup2(packet.output[1].get(), STDERR_FILENO);
  for (auto& fd : packet.output) fd.reset();
  socket_.reset();
  signals_.reset();
  ::sigaction(SIGCHLD, &child_action_, nullptr);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  // A pipe would be fully buffered, and a killed worker would take its last words with it.
  ::setvbuf(stdout, nullptr, _IOLBF, 0);
  os::set_process_name("mobula-worker");
}

void ZygoteLoop::reap_children() {
  signalfd_siginfo ignored;
  while (::read(signals_.get(), &ignored, sizeof ignored) > 0) {
  }
  for (;;) {
    // Looked at first and reaped last, so that the group is killed while its number is still taken.
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (children_.erase(info.si_pid) != 0) ::kill(-info.si_pid, SIGKILL);
    int status = 0;
    rusage usage{};
    if (::wait4(info.si_pid, &status, 0, &usage) == info.si_pid) {
      report({ZygoteReport::Kind::kExited, status, info.si_pid, static_cast<std::uint64_t>(usage.ru_maxrss)});
    }
  }
}

void ZygoteLoop::end() {
  for (const pid_t pid : children_) ::kill(-pid, SIGKILL);
  for (const pid_t pid : children_) os::wait_for(pid);
  ::_exit(0);
}

ZygoteRequest ZygoteLoop::run() {
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child_signal, &before_);
  child_action_ = os::keep_ended_children();
  signals_ = os::Fd(::signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK));
  // Until here our raylet's death was ours; from now on the end of the socket says it, and there are children to end.
  ::prctl(PR_SET_PDEATHSIG, 0);
  const int threads = count_threads();
  report({ZygoteReport::Kind::kHello, threads, ::getpid(), 0});
  if (threads != 1 || !signals_.valid()) ::_exit(0);
  for (;;) {
    std::array<pollfd, 2> polled{{{socket_.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) end();
    if (polled[1].revents != 0) reap_children();
    for (Packet packet; receive(packet); packet = Packet()) {
      if (packet.request.kind == ZygoteRequest::Kind::kKill) {
        if (children_.contains(packet.request.pid)) ::kill(-packet.request.pid, SIGKILL);
      } else if (fork_worker(packet)) {
        return packet.request;
      }
    }
    if (closed_) end();
  }
}

}  // namespace

Result<WorkerStart> run_zygote() {
  const auto fd = parse<int>(variable(cluster::kEnvZygoteFd));
  if (!fd) return Error{Code::kInvalid, "MOBULA_ZYGOTE_FD names no descriptor"};
  // The children that users start are no zygotes.
  for (const char* name : {cluster::kEnvZygoteFd, cluster::kEnvRole}) ::unsetenv(name);
  ::fcntl(*fd, F_SETFD, FD_CLOEXEC);
  os::set_process_name("mobula-zygote");
  os::offer_to_oom_killer();  // Its workers inherit it: the raylet must outlive them.
  warm_up();
  WorkerStart start;
  start.raylet_address = variable(cluster::kEnvRaylet);
  start.session_directory = variable(cluster::kEnvSession);
  const ZygoteRequest request = ZygoteLoop(*fd).run();
  start.worker = request.worker;
  start.job = request.job;
  start.token = request.token;
  return start;
}

Result<WorkerStart> worker_from_environment() {
  const auto worker = parse_id<base::WorkerId>(variable(cluster::kEnvWorkerId));
  const auto job = parse_id<base::JobId>(variable(cluster::kEnvJobId));
  const auto token = parse<std::uint64_t>(variable(cluster::kEnvStartToken));
  if (!worker || !job || !token) return Error{Code::kInvalid, "the environment of this worker is not a raylet's"};
  for (const char* name : {cluster::kEnvRole, cluster::kEnvWorkerId, cluster::kEnvJobId, cluster::kEnvStartToken}) {
    ::unsetenv(name);
  }
  ::setvbuf(stdout, nullptr, _IOLBF, 0);
  os::offer_to_oom_killer();
  return WorkerStart{*worker, *job, *token, std::string(variable(cluster::kEnvRaylet)),
                     std::string(variable(cluster::kEnvSession))};
}

}  // namespace mobula::worker

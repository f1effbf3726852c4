#include "bench/transport/bench_pair.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace mobula::bench {
namespace {

// The n-th CPU that this process may use, so that the two do not share one where there are two.
void pin(int n) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || n-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

}  // namespace

void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

BenchPair::BenchPair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("socketpair failed");
  child_ = ::fork();
  if (child_ < 0) die("fork failed");
  role_ = child_ == 0 ? Role::kFollower : Role::kLeader;
  if (!leads()) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  socket_ = ends[leads() ? 0 : 1];
  ::close(ends[leads() ? 1 : 0]);
  pin(leads() ? 0 : 1);
}

BenchPair::~BenchPair() {
  ::close(socket_);
  if (leads()) ::waitpid(child_, nullptr, 0);
}

void BenchPair::put(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t n = ::send(socket_, at, size, MSG_NOSIGNAL);
    if (n <= 0) die("the other process is gone");
    at += n;
    size -= static_cast<std::size_t>(n);
  }
}

void BenchPair::get(void* bytes, std::size_t size) {
  auto* at = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t n = ::recv(socket_, at, size, 0);
    if (n <= 0) std::exit(leads() ? 1 : 0);
    at += n;
    size -= static_cast<std::size_t>(n);
  }
}

void BenchPair::put_string(const std::string& text) {
  const std::uint64_t size = text.size();
  put(&size, sizeof size);
  put(text.data(), text.size());
}

std::string BenchPair::get_string() {
  std::uint64_t size = 0;
  get(&size, sizeof size);
  std::string text(size, '\0');
  get(text.data(), size);
  return text;
}

}  // namespace mobula::bench

// bench_barrier engine|yield: a counter barrier among four processes.
//
// `engine` waits as a thread in get() does: at the pace of core/worker/spin_pace.h, with one of the host's spin tokens
// while there is one, and then asleep, on a futex here, since nothing but the counter can end the wait. `yield` only
// ever yields.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <new>
#include <string>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"
#include "core/os/futex.h"
#include "core/worker/spin_pace.h"
#include "core/worker/spin_tokens.h"

namespace mobula::bench {
namespace {

constexpr std::uint32_t kProcesses = 4;

enum class Policy { kEngine, kYield };

struct Shared {
  alignas(64) std::atomic<std::uint32_t> arrived{0};
  alignas(64) std::atomic<std::uint32_t> generation{0};
  alignas(64) std::atomic<std::uint32_t> sleepers{0};
  alignas(4096) std::byte tokens[runtime::SpinTokens::kBytes];
};

// One process's view of the barrier.
class Barrier {
 public:
  Barrier(Shared& shared, Policy policy)
      : shared_(shared),
        policy_(policy),
        tokens_(runtime::SpinTokens::attach(base::Bytes(shared.tokens))),
        pid_(static_cast<std::uint32_t>(::getpid())) {}
  ~Barrier() { release_token(); }
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  void cross() {
    const std::uint32_t generation = shared_.generation.load(std::memory_order_acquire);
    if (shared_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 < kProcesses) return wait_after(generation);
    shared_.arrived.store(0, std::memory_order_relaxed);
    shared_.generation.store(generation + 1, std::memory_order_seq_cst);
    if (shared_.sleepers.load(std::memory_order_seq_cst) != 0) os::futex_wake(shared_.generation, kProcesses);
  }

 private:
  bool passed(std::uint32_t generation) const {
    return shared_.generation.load(std::memory_order_acquire) != generation;
  }
  void wait_after(std::uint32_t generation) {
    if (policy_ == Policy::kYield) {
      while (!passed(generation)) ::sched_yield();
      return;
    }
    while (!poll(generation)) sleep(generation);
  }
  bool poll(std::uint32_t generation) {
    if (token_ < 0) token_ = tokens_.acquire(pid_);
    pace_.begin(token_ >= 0);
    do {
      if (passed(generation)) {
        pace_.found();
        return true;
      }
    } while (pace_.turn() != runtime::SpinPace::Turn::kSleep);
    return passed(generation);
  }
  void sleep(std::uint32_t generation) {
    release_token();
    shared_.sleepers.fetch_add(1, std::memory_order_seq_cst);
    if (!passed(generation)) os::futex_wait(shared_.generation, generation);
    shared_.sleepers.fetch_sub(1, std::memory_order_relaxed);
  }
  void release_token() {
    if (token_ >= 0) tokens_.release(token_);
    token_ = -1;
  }

  Shared& shared_;
  const Policy policy_;
  const runtime::SpinTokens tokens_;
  const std::uint32_t pid_;
  int token_ = -1;
  runtime::SpinPace pace_;
};

void cross_all(Shared& shared, Policy policy, int count) {
  Barrier barrier(shared, policy);
  for (int i = 0; i < count; ++i) barrier.cross();
}

double barrier_us(Policy policy, int count) {
  void* at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw CannotMeasure("mmap failed");
  auto* shared = new (at) Shared;
  runtime::SpinTokens::format(base::Bytes(shared->tokens), 2);
  for (std::uint32_t i = 1; i < kProcesses; ++i) {
    if (::fork() != 0) continue;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    cross_all(*shared, policy, count + 1);
    ::_exit(0);
  }
  double seconds = 0;
  {
    Barrier barrier(*shared, policy);
    barrier.cross();  // All run.
    const auto start = Clock::now();
    for (int i = 0; i < count; ++i) barrier.cross();
    seconds = seconds_since(start);
  }
  for (std::uint32_t i = 1; i < kProcesses; ++i) ::waitpid(-1, nullptr, 0);
  ::munmap(at, sizeof(Shared));
  return seconds * 1e6 / count;
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  using namespace mobula::bench;
  const std::string policy = argc > 1 ? argv[1] : "";
  if (policy != "engine" && policy != "yield") {
    std::fprintf(stderr, "usage: bench_barrier engine|yield\n");
    return 2;
  }
  Side side;
  side.add("barrier_oversubscribed_us",
           [&](Effort e) { return barrier_us(policy == "engine" ? Policy::kEngine : Policy::kYield, e.of(2000)); });
  side.serve();
  return 0;
}

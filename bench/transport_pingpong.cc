// What a message between two processes of one host costs, over transport/shm, with the floors of the same
// run: a cache line handed over, an eventfd, memcpy, and UCX's active messages over its shared memory.
//
// Rounds of all sides are interleaved, so that a disturbance of the machine meets each of them.
#include <cstdio>
#include <functional>

#include "bench/transport/floors.h"
#include "bench/transport/shm_measured.h"
#include "bench/transport/ucx_measured.h"
#include "core/os/session.h"

namespace mobula::bench {
namespace {

constexpr int kRounds = 20;
constexpr int kTripsPerRound = 2'000;
constexpr int kSleepsPerRound = 10;
constexpr int kStreamPerRound = 50'000;

void append(std::vector<double>& to, const std::vector<double>& from) { to.insert(to.end(), from.begin(), from.end()); }

void print_times(const char* what, const std::vector<double>& samples) {
  const Quantiles q = quantiles(samples);
  std::printf("  %-34s %9.3f %9.3f %9.3f us\n", what, q.median, q.p99, q.min);
}

class Report {
 public:
  Report(BenchPair& pair, const FloorShared& shared, const std::string& directory)
      : pair_(pair),
        line_(shared, pair),
        eventfd_(shared, pair),
        shm_(pair, directory),
        streamed_(pair, directory, {.process_vm = false}),
        ucx_(pair) {}

  void run() {
    latency(64);
    latency(1024);
    sleeping();
    rate();
    for (const std::size_t bytes : {std::size_t{64} << 10, std::size_t{1} << 20, std::size_t{64} << 20})
      bandwidth(bytes);
    if (pair_.leads()) {
      std::printf("make_shm_worker and connect: the process's first %.0f + %.0f us, the next %.0f + %.0f us\n",
                  shm_.made_us(), shm_.connected_us(), streamed_.made_us(), streamed_.connected_us());
    }
  }

 private:
  void in_step() {  // Both are here; neither spins while the other still works.
    char byte = 0;
    pair_.put(&byte, 1);
    pair_.get(&byte, 1);
  }

  void latency(std::size_t bytes) {
    std::vector<double> line, shm, ucx;
    for (int round = 0; round < kRounds; ++round) {
      in_step();
      append(line, line_.round_trips(kTripsPerRound, bytes));
      in_step();
      append(shm, shm_.round_trips(kTripsPerRound, bytes));
      in_step();
      append(ucx, ucx_.round_trips(kTripsPerRound, bytes));
    }
    if (!pair_.leads()) return;
    std::printf("round trip of %zu bytes, spinning     median       p99       min\n", bytes);
    print_times("shm", shm);
    print_times("floor: cache line", line);
    print_times("peer: UCX posix active messages", ucx);
  }

  void sleeping() {
    std::vector<double> shm, eventfd;
    for (int round = 0; round < kRounds; ++round) {
      in_step();
      append(eventfd, eventfd_.sleeping_round_trips(kSleepsPerRound, 64));
      in_step();
      append(shm, shm_.sleeping_round_trips(kSleepsPerRound, 64));
    }
    if (!pair_.leads()) return;
    std::printf("round trip of 64 bytes, both asleep   median       p99       min\n");
    print_times("shm", shm);
    print_times("floor: eventfd", eventfd);
  }

  void rate() {
    std::vector<double> shm, ucx;
    for (int round = 0; round < kRounds; ++round) {
      in_step();
      shm.push_back(shm_.stream(kStreamPerRound, 64));
      in_step();
      ucx.push_back(ucx_.stream(kStreamPerRound, 64));
    }
    if (!pair_.leads()) return;
    std::printf("messages of 64 bytes one way\n  shm %.1f M/s, peer: UCX posix %.1f M/s\n",
                kStreamPerRound / quantiles(shm).median, kStreamPerRound / quantiles(ucx).median);
  }

  void bandwidth(std::size_t bytes) {
    const int count = static_cast<int>(std::max<std::size_t>(2, (std::size_t{64} << 20) / bytes));
    std::vector<double> shm, rendezvous, streamed, reads, ucx;
    for (int round = 0; round < 5; ++round) {
      in_step();
      shm.push_back(shm_.stream(count, bytes) / count);
      in_step();
      rendezvous.push_back(shm_.rendezvous(count, bytes) / count);
      in_step();
      streamed.push_back(streamed_.rendezvous(count, bytes) / count);
      in_step();
      append(reads, shm_.reads(count, bytes));
      in_step();
      ucx.push_back(ucx_.stream(count, bytes) / count);
    }
    if (!pair_.leads()) return;
    const auto gbps = [bytes](const std::vector<double>& us) {
      return static_cast<double>(bytes) / quantiles(us).median / 1e3;
    };
    std::printf(
        "%6zu KiB, GB/s: message copied %.1f, by rendezvous %.1f, in fragments %.1f, one-sided read %.1f; "
        "floor: memcpy %.1f; peer: UCX posix message %.1f\n",
        bytes >> 10, gbps(shm), gbps(rendezvous), gbps(streamed), gbps(reads), memcpy_gbps(bytes), gbps(ucx));
  }

  BenchPair& pair_;
  CacheLine line_;
  EventFd eventfd_;
  ShmMeasured shm_;
  ShmMeasured streamed_;  // As where the kernel does not let processes read each other.
  UcxMeasured ucx_;
};

}  // namespace
}  // namespace mobula::bench

int main() {
  using namespace mobula;
  const auto shared = bench::make_floor_shared();
  auto session = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove);
  if (!session) bench::die(session.error().what);
  const std::string directory = session->path();
  {
    bench::BenchPair pair;
    bench::Report(pair, shared, directory).run();
    if (!pair.leads()) std::_Exit(0);  // The directory is the leader's to remove.
  }
  return 0;
}

// Open MPI's side of the benchmark, rank 0 of two: ping-pong, windows of requests and answers, MPI_Get.
//
//   mpirun -np 2 mpi_peer
//
// Between measurements rank 1 polls with pauses, so that it takes no core from the other sides.
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <mpi.h>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kWindowBytes = 256 * kMiB;
constexpr int kPayloadBytes = 64;
constexpr int kInFlight = 64;
constexpr int kOrderTag = 1;
constexpr int kDataTag = 2;

enum class Order : int { kTrips, kRate, kGet, kEnd };

// What both ranks do at the same time.
class Pair {
 public:
  Pair() : window_memory_(kWindowBytes) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Win_create(window_memory_.data(), static_cast<MPI_Aint>(kWindowBytes), 1, MPI_INFO_NULL, MPI_COMM_WORLD,
                   &window_);
  }
  ~Pair() { MPI_Win_free(&window_); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  bool leads() const { return rank_ == 0; }

  double trips_us(int count) {
    tell(Order::kTrips, count);
    return median(trips(count));
  }
  double answered_per_s(int count) {
    tell(Order::kRate, count);
    return count / rate(count);
  }
  double get_us(std::size_t size, int count) {
    tell(Order::kGet, count);
    into_.resize(kWindowBytes);
    std::vector<double> us;
    MPI_Win_lock(MPI_LOCK_SHARED, 1, 0, window_);
    for (int i = 0; i <= count; ++i) {
      const auto start = Clock::now();
      MPI_Get(into_.data(), static_cast<int>(size), MPI_BYTE, 1, 0, static_cast<int>(size), MPI_BYTE, window_);
      MPI_Win_flush(1, window_);
      if (i != 0) us.push_back(seconds_since(start) * 1e6);
    }
    MPI_Win_unlock(1, window_);
    MPI_Barrier(MPI_COMM_WORLD);
    return median(std::move(us));
  }
  void end() { tell(Order::kEnd, 0); }

  void follow() {
    for (;;) {
      int here = 0;
      while (MPI_Iprobe(0, kOrderTag, MPI_COMM_WORLD, &here, MPI_STATUS_IGNORE), here == 0) ::usleep(2000);
      int order[2];
      MPI_Recv(order, 2, MPI_INT, 0, kOrderTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      switch (static_cast<Order>(order[0])) {
        case Order::kTrips: trips(order[1]); break;
        case Order::kRate: rate(order[1]); break;
        case Order::kGet: MPI_Barrier(MPI_COMM_WORLD); break;  // It makes the progress that emulated gets need.
        case Order::kEnd: return;
      }
    }
  }

 private:
  void tell(Order what, int count) {
    const int order[2] = {static_cast<int>(what), count};
    MPI_Send(order, 2, MPI_INT, 1, kOrderTag, MPI_COMM_WORLD);
  }
  std::vector<double> trips(int count) {
    char payload[kPayloadBytes] = {};
    std::vector<double> us;
    for (int i = 0; i < count; ++i) {
      const auto start = Clock::now();
      if (leads()) MPI_Send(payload, kPayloadBytes, MPI_BYTE, 1, kDataTag, MPI_COMM_WORLD);
      MPI_Recv(payload, kPayloadBytes, MPI_BYTE, 1 - rank_, kDataTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (!leads()) MPI_Send(payload, kPayloadBytes, MPI_BYTE, 0, kDataTag, MPI_COMM_WORLD);
      us.push_back(seconds_since(start) * 1e6);
    }
    return us;
  }
  // Seconds for `count` requests and answers, kInFlight of them at a time.
  double rate(int count) {
    char out[kPayloadBytes] = {};
    std::vector<char> in(std::size_t{kInFlight} * kPayloadBytes);
    std::vector<MPI_Request> requests(kInFlight);
    trips(100);  // Both are here.
    const auto start = Clock::now();
    for (int left = count; left > 0; left -= kInFlight) {
      for (std::size_t i = 0; i < kInFlight; ++i) {
        MPI_Irecv(in.data() + i * kPayloadBytes, kPayloadBytes, MPI_BYTE, 1 - rank_, kDataTag, MPI_COMM_WORLD,
                  &requests[i]);
      }
      for (int i = 0; leads() && i < kInFlight; ++i)
        MPI_Send(out, kPayloadBytes, MPI_BYTE, 1, kDataTag, MPI_COMM_WORLD);
      for (auto& request : requests) {
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        if (!leads()) MPI_Send(out, kPayloadBytes, MPI_BYTE, 0, kDataTag, MPI_COMM_WORLD);
      }
    }
    return seconds_since(start);
  }

  int rank_ = 0;
  std::vector<std::byte> window_memory_;
  std::vector<std::byte> into_;
  MPI_Win window_ = MPI_WIN_NULL;
};

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<std::size_t>(length));
  return all.substr(0, all.find(','));
}

void lead(Pair& pair) {
  Side side(library_version());
  const auto trip = [&](Effort e) { return pair.trips_us(e.of(4000)); };
  const auto rate = [&](Effort e) { return pair.answered_per_s(e.of(40'000)); };
  for (const char* metric : {"actor_call_sync_us", "task_sync_us"}) side.add(metric, trip);
  for (const char* metric : {"actor_call_async_per_s", "actor_call_nn_per_s", "task_async_per_s"})
    side.add(metric, rate);
  for (const std::string link : {"shm", "sock"}) {
    side.add("pull_256m_" + link + "_gbps", [&](Effort e) {
      return static_cast<double>(256 * kMiB) / pair.get_us(256 * kMiB, e.quick ? 1 : 2) / 1e3;
    });
    side.add("pull_1m_" + link + "_us", [&](Effort e) { return pair.get_us(kMiB, e.of(40)); });
  }
  side.serve();
  pair.end();
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  {
    mobula::bench::Pair pair;
    if (pair.leads()) {
      mobula::bench::lead(pair);
    } else {
      pair.follow();
    }
  }
  MPI_Finalize();
  return 0;
}

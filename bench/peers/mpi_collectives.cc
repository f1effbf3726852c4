// Open MPI's side of the suite `collectives`, rank 0 of as many as mpirun started.
//
//   mpirun -np N mpi_collectives [sock]
//
// Between measurements the other ranks poll with pauses, so that they take no core from the other sides.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <mpi.h>

#include "bench/sides/collective_metrics.h"

namespace mobula::bench {
namespace {

constexpr int kOrderTag = 1;

struct Order {
  int what = -1;  // -1: the end.
  int count = 0;
  unsigned long bytes = 0;
};

class Ranks {
 public:
  Ranks() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  bool leads() const { return rank_ == 0; }
  int size() const { return size_; }

  double batch(const CollectiveMetric& m, int count) {
    const Order order{static_cast<int>(m.what), count, m.bytes};
    tell(order);
    return run(order);
  }
  void end() { tell({}); }

  void follow() {
    for (;;) {
      int here = 0;
      while (MPI_Iprobe(0, kOrderTag, MPI_COMM_WORLD, &here, MPI_STATUS_IGNORE), here == 0) ::usleep(1000);
      Order order;
      MPI_Recv(&order, sizeof order, MPI_BYTE, 0, kOrderTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (order.what < 0) return;
      run(order);
    }
  }

 private:
  void tell(const Order& order) {
    for (int rank = 1; rank < size_; ++rank) MPI_Send(&order, sizeof order, MPI_BYTE, rank, kOrderTag, MPI_COMM_WORLD);
  }
  double run(const Order& order) {
    CollectiveMetric metric;
    metric.what = static_cast<Collective>(order.what);
    metric.bytes = order.bytes;
    metric.ranks = size_;
    const std::size_t n = std::max<std::size_t>(1, metric.buffer_bytes() / sizeof(float));
    if (in_.size() < n) {
      in_.assign(n, 1.0f);
      out_.assign(n, 0.0f);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    const auto start = Clock::now();
    for (int i = 0; i < order.count; ++i) call(metric.what, static_cast<int>(order.bytes / sizeof(float)), i);
    MPI_Barrier(MPI_COMM_WORLD);
    return seconds_since(start);
  }
  void call(Collective what, int n, int turn) {
    switch (what) {
      case Collective::kBarrier: MPI_Barrier(MPI_COMM_WORLD); break;
      case Collective::kAllreduce: MPI_Allreduce(in_.data(), out_.data(), n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); break;
      case Collective::kBroadcast: MPI_Bcast(out_.data(), n, MPI_FLOAT, turn % size_, MPI_COMM_WORLD); break;
      case Collective::kAllgather:
        MPI_Allgather(in_.data(), n, MPI_FLOAT, out_.data(), n, MPI_FLOAT, MPI_COMM_WORLD);
        break;
      case Collective::kReduceScatter:
        MPI_Reduce_scatter_block(in_.data(), out_.data(), n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
        break;
      case Collective::kAlltoall:
        MPI_Alltoall(in_.data(), n, MPI_FLOAT, out_.data(), n, MPI_FLOAT, MPI_COMM_WORLD);
        break;
    }
  }

  int rank_ = 0;
  int size_ = 1;
  std::vector<float> in_;
  std::vector<float> out_;
};

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string all(text, static_cast<std::size_t>(length));
  return all.substr(0, all.find(','));
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  using namespace mobula::bench;
  MPI_Init(&argc, &argv);
  {
    Ranks ranks;
    if (ranks.leads()) {
      Side side(library_version());
      const auto link = argc > 1 ? CollectiveMetric::Link::kSock : CollectiveMetric::Link::kShared;
      add_collectives(
          side, [&](const CollectiveMetric& m) { return m.ranks == ranks.size() && m.link == link; },
          [&](const CollectiveMetric& m, int count) { return ranks.batch(m, count); });
      side.serve();
      ranks.end();
    } else {
      ranks.follow();
    }
  }
  MPI_Finalize();
  return 0;
}

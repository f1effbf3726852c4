// What transport/ucx adds to UCX: the same messages over UCX's shared memory, by UCP alone and through the transport.
// Over RDMA the link's own time is larger and the difference the same.
#include <cstdio>
#include <cstdlib>

#include "bench/transport/ucx_measured.h"
#include "bench/transport/ucx_transport_measured.h"
#include "core/os/session.h"

namespace mobula::bench {
namespace {

constexpr int kRounds = 20;

struct Size {
  std::size_t bytes;
  int trips;  // In each round.
  int stream;
};
constexpr Size kSizes[] = {{8, 2'000, 20'000}, {64, 2'000, 20'000}, {4096, 1'000, 5'000}, {1 << 20, 20, 20}};

void run(BenchPair& pair, const std::string& directory) {
  UcxTransportMeasured ours(pair, directory);
  UcxMeasured raw(pair);
  const auto in_step = [&] {
    char byte = 0;
    pair.put(&byte, 1);
    pair.get(&byte, 1);
  };
  if (pair.leads()) std::printf("bytes      round trip, us: ours   UCP        stream, us each: ours   UCP\n");
  for (const Size& size : kSizes) {
    std::vector<double> trips_ours, trips_raw, stream_ours, stream_raw;
    for (int round = 0; round < kRounds; ++round) {
      const auto append = [](std::vector<double>& to, std::vector<double> from) {
        to.insert(to.end(), from.begin(), from.end());
      };
      in_step();
      append(trips_ours, ours.round_trips(size.trips, size.bytes));
      in_step();
      append(trips_raw, raw.round_trips(size.trips, size.bytes));
      in_step();
      stream_ours.push_back(ours.stream(size.stream, size.bytes) / size.stream);
      in_step();
      stream_raw.push_back(raw.stream(size.stream, size.bytes) / size.stream);
    }
    if (!pair.leads()) continue;
    std::printf("%-8zu %20.3f %9.3f %24.3f %9.3f\n", size.bytes, quantiles(trips_ours).median,
                quantiles(trips_raw).median, quantiles(stream_ours).median, quantiles(stream_raw).median);
  }
}

}  // namespace
}  // namespace mobula::bench

int main() {
  auto session = mobula::os::SessionDirectory::create(mobula::os::SessionDirectory::Lifetime::kRemove);
  if (!session) mobula::bench::die(session.error().what);
  const std::string directory = session->path();
  mobula::bench::BenchPair pair;
  mobula::bench::run(pair, directory);
  if (!pair.leads()) std::_Exit(0);  // The directory is the leader's to remove.
}

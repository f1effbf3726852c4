#include <cstdlib>
#include <memory>
#include <string>

#include "bench/sides/floor.h"
#include "bench/sides/timing.h"
#include "bench/transport/ucx_measured.h"

namespace mobula::bench {
namespace {

constexpr std::size_t kPayloadBytes = 64;
constexpr int kInFlight = 64;

// Two processes with an endpoint to each other; the follower does what the leader says.
class UcxPair {
 public:
  UcxPair() : measured_(pair_) {
    if (!pair_.leads()) follow();
  }
  double round_trip_us(int count) {
    tell("trips", count);
    return quantiles(measured_.round_trips(count, kPayloadBytes)).median;
  }
  double answered_per_s(int count) {
    tell("answered", count);
    return count / (measured_.answered(count, kPayloadBytes, kInFlight) / 1e6);
  }

 private:
  void tell(const char* what, int count) { pair_.put_string(std::string(what) + " " + std::to_string(count)); }
  [[noreturn]] void follow() {  // Ends when the leader does.
    for (;;) {
      const std::string order = pair_.get_string();
      const int count = std::atoi(order.c_str() + order.find(' '));
      if (order.starts_with("trips")) {
        measured_.round_trips(count, kPayloadBytes);
      } else {
        measured_.answered(count, kPayloadBytes, kInFlight);
      }
    }
  }

  BenchPair pair_;
  UcxMeasured measured_;
};

}  // namespace

void add_ucx_floors(Side& side) {
  const auto pair = std::make_shared<UcxPair>();
  const auto trip = [=](Effort e) { return pair->round_trip_us(e.of(4000)); };
  const auto rate = [=](Effort e) { return pair->answered_per_s(e.of(40'000)); };
  side.add("actor_call_sync_us", trip);
  side.add("task_sync_us", trip);
  side.add("actor_call_async_per_s", rate);
  side.add("actor_call_nn_per_s", rate);
  side.add("task_async_per_s", rate);
}

}  // namespace mobula::bench

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "transport/shm/process_memory.h"
#include "transport/shm/relay.h"
#include "transport/shm/remote_region.h"

namespace mobula::transport::shm {

// One-sided reads and writes of one endpoint: finds out once per region how it is reached, and copies large
// data in slices, so that no progress() holds its caller for long.
class OneSided {
 public:
  // Asks the owner for a region; the answer comes back to resolved().
  using Fetch = std::function<Result<void>(const RegionKey&)>;

  OneSided(Relay& relay, SendQueue& queue, stream::Completions& done, Fetch fetch)
      : relay_(relay), queue_(queue), done_(done), fetch_(std::move(fetch)) {}

  // The kernel lets us copy to and from this process.
  void use_process(const PeerProcess* process) { process_ = process; }

  void start(const Operation& operation);  // Its arguments are checked against the local region already.
  void resolved(std::uint64_t region, Result<RegionInfo> info, const os::Fd* file);
  void forget(std::uint64_t region) { regions_.erase(region); }

  // Copies at most `budget` bytes; returns how many.
  std::size_t work(std::size_t budget);
  bool has_work() const { return !active_.empty(); }
  bool is_fetching() const { return !fetching_.empty(); }

  void fail(const base::Error& why);

 private:
  static constexpr std::size_t kAtOnceBytes = 64u << 10;

  void dispatch(const Operation& operation, const RemoteRegion& region);
  Result<void> copy(Operation& operation, std::size_t bytes);
  void end(const Operation& operation, Result<std::size_t> result) {
    done_.add(*operation.completion, std::move(result));
  }

  Relay& relay_;
  SendQueue& queue_;
  stream::Completions& done_;
  Fetch fetch_;
  const PeerProcess* process_ = nullptr;
  std::unordered_map<std::uint64_t, RemoteRegion> regions_;             // By the peer's region id.
  std::unordered_map<std::uint64_t, std::vector<Operation>> fetching_;  // Waiting for a region.
  std::deque<Operation> active_;                                        // Being copied by us.
};

}  // namespace mobula::transport::shm

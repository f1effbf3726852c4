#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/transport/measured.h"
#include "transport/shm/shm.h"

namespace mobula::bench {

// mobula's transport/shm between the two processes, as its owner uses it: progress(), arm(), poll.
class ShmMeasured final : public Measured, public MeasuredSleep, public MeasuredStream, private transport::Inbox {
 public:
  ShmMeasured(BenchPair& pair, const std::string& directory, const transport::shm::ShmTuning& tuning = {});

  std::vector<double> round_trips(int count, std::size_t bytes) override;
  std::vector<double> sleeping_round_trips(int count, std::size_t bytes) override;
  double stream(int count, std::size_t bytes) override;
  // Large messages with a completion: rendezvous.  One at a time, as their buffers would be.
  double rendezvous(int count, std::size_t bytes);
  // The follower registers a memory file of `bytes`, the leader reads all of it, `count` times; per read.
  std::vector<double> reads(int count, std::size_t bytes);

  double made_us() const { return made_us_; }            // make_shm_worker.
  double connected_us() const { return connected_us_; }  // connect() until connected(), the peer spinning.

 private:
  class Done;
  void accepted(transport::Endpoint& endpoint) override { peer_ = &endpoint; }
  void message(transport::Endpoint& from, std::uint16_t type, transport::ConstBytes header,
               transport::ConstBytes payload) override;
  void writable(transport::Endpoint&) override {}
  void lost(transport::Endpoint&, const base::Error& why) override { die("lost: " + why.what); }
  void spin_until(std::uint64_t received) {
    while (received_ < received) worker_->progress();
  }
  void sleep_until(std::uint64_t received);
  void must_send(transport::ConstBytes payload, transport::Completion* completion);

  BenchPair& pair_;
  std::unique_ptr<transport::Worker> worker_;
  transport::Endpoint* peer_ = nullptr;
  std::uint64_t received_ = 0;
  std::vector<std::byte> payload_;
  double made_us_ = 0;
  double connected_us_ = 0;
};

}  // namespace mobula::bench

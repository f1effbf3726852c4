#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/transport/measured.h"
#include "transport/ucx/ucx.h"

namespace mobula::bench {

// mobula's transport/ucx between the two processes, over the same UCX transport as UcxMeasured.
class UcxTransportMeasured final : public Measured, public MeasuredStream, private transport::Inbox {
 public:
  UcxTransportMeasured(BenchPair& pair, const std::string& directory);

  std::vector<double> round_trips(int count, std::size_t bytes) override;
  double stream(int count, std::size_t bytes) override;

 private:
  void accepted(transport::Endpoint& endpoint) override { peer_ = &endpoint; }
  void message(transport::Endpoint&, std::uint16_t, transport::ConstBytes, transport::ConstBytes) override {
    ++received_;
  }
  void writable(transport::Endpoint&) override {}
  void lost(transport::Endpoint&, const base::Error& why) override { die("lost: " + why.what); }
  void spin_until(std::uint64_t received) {
    while (received_ < received) worker_->progress();
  }
  // With a completion, as large arguments go; waits for it.
  void send(std::size_t bytes);

  BenchPair& pair_;
  std::unique_ptr<transport::UcxWorker> worker_;
  transport::Endpoint* peer_ = nullptr;
  std::uint64_t received_ = 0;
  std::vector<std::byte> payload_;
};

}  // namespace mobula::bench

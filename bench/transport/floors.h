#pragma once

#include <atomic>
#include <cstddef>

#include "bench/transport/measured.h"

namespace mobula::bench {

// Before the fork: what both processes share.
struct FloorPage {
  alignas(128) std::atomic<std::uint64_t> to_follower{0};
  alignas(128) std::atomic<std::uint64_t> to_leader{0};
};
struct FloorShared {
  FloorPage* page = nullptr;
  int to_follower = -1;  // eventfds.
  int to_leader = -1;
};
FloorShared make_floor_shared();

// One cache line each way: what a message costs at least.
class CacheLine final : public Measured {
 public:
  CacheLine(const FloorShared& shared, const BenchPair& pair) : shared_(shared), pair_(pair) {}
  std::vector<double> round_trips(int count, std::size_t bytes) override;

 private:
  const FloorShared& shared_;
  const BenchPair& pair_;
  std::uint64_t turn_ = 0;
};

// Two processes that wake each other: eventfd, read without epoll.
class EventFd final : public MeasuredSleep {
 public:
  EventFd(const FloorShared& shared, const BenchPair& pair) : shared_(shared), pair_(pair) {}
  std::vector<double> sleeping_round_trips(int count, std::size_t bytes) override;

 private:
  const FloorShared& shared_;
  const BenchPair& pair_;
};

double memcpy_gbps(std::size_t bytes);  // Warm pages, one thread.

}  // namespace mobula::bench

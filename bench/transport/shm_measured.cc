#include "bench/transport/shm_measured.h"

#include <poll.h>

#include <cstring>

#include "bench/transport/asleep.h"
#include "core/os/memory_file.h"

namespace mobula::bench {

using transport::ConstBytes;

class ShmMeasured::Done final : public transport::Completion {
 public:
  void done(base::Result<std::size_t> bytes) override {
    if (!bytes) die("operation failed: " + bytes.error().what);
    ++count;
  }
  int count = 0;
};

ShmMeasured::ShmMeasured(BenchPair& pair, const std::string& directory, const transport::shm::ShmTuning& tuning)
    : pair_(pair) {
  transport::WorkerOptions options;
  options.credentials.self.name = pair.leads() ? "leader" : "follower";
  options.socket_directory = directory;
  auto start = Clock::now();
  auto worker = transport::shm::make_shm_worker(options, *this, tuning);
  made_us_ = microseconds_since(start);
  if (!worker) die(worker.error().what);
  worker_ = *std::move(worker);
  if (!pair.leads()) {
    pair.put_string(worker_->address());
    while (peer_ == nullptr) worker_->progress();
    return;
  }
  const std::string address = pair.get_string();
  start = Clock::now();
  auto endpoint = worker_->connect(address);
  if (!endpoint) die(endpoint.error().what);
  peer_ = *endpoint;
  while (!peer_->connected()) worker_->progress();
  connected_us_ = microseconds_since(start);
}

void ShmMeasured::message(transport::Endpoint&, std::uint16_t, ConstBytes, ConstBytes payload) {
  asm volatile("" : : "r"(payload.data()) : "memory");
  ++received_;
}

void ShmMeasured::must_send(ConstBytes payload, transport::Completion* completion) {
  while (!peer_->send(1, {}, payload, completion)) worker_->progress();
}

void ShmMeasured::sleep_until(std::uint64_t received) {
  while (received_ < received) {
    if (worker_->progress() != 0 || !worker_->arm()) continue;
    pollfd p{worker_->event_fd(), POLLIN, 0};
    ::poll(&p, 1, -1);
  }
}

std::vector<double> ShmMeasured::round_trips(int count, std::size_t bytes) {
  payload_.resize(bytes);
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t next = received_ + 1;
    if (!pair_.leads()) {
      spin_until(next);
      must_send(payload_, nullptr);
      continue;
    }
    const auto start = Clock::now();
    must_send(payload_, nullptr);
    spin_until(next);
    samples.push_back(microseconds_since(start));
  }
  return samples;
}

std::vector<double> ShmMeasured::sleeping_round_trips(int count, std::size_t bytes) {
  payload_.resize(bytes);
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t next = received_ + 1;
    if (!pair_.leads()) {
      sleep_until(next);
      must_send(payload_, nullptr);
      continue;
    }
    settle();
    const auto start = Clock::now();
    must_send(payload_, nullptr);
    sleep_until(next);
    samples.push_back(microseconds_since(start));
  }
  return samples;
}

double ShmMeasured::stream(int count, std::size_t bytes) {
  payload_.resize(bytes);
  if (!pair_.leads()) {
    spin_until(received_ + static_cast<std::uint64_t>(count));
    must_send(ConstBytes(payload_).first(1), nullptr);
    return 0;
  }
  const std::uint64_t next = received_ + 1;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) must_send(payload_, nullptr);
  spin_until(next);
  return microseconds_since(start);
}

double ShmMeasured::rendezvous(int count, std::size_t bytes) {
  payload_.resize(bytes);
  if (!pair_.leads()) {
    spin_until(received_ + static_cast<std::uint64_t>(count));
    return 0;
  }
  Done done;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    must_send(payload_, &done);
    while (done.count <= i) worker_->progress();
  }
  return microseconds_since(start);
}

std::vector<double> ShmMeasured::reads(int count, std::size_t bytes) {
  std::vector<double> samples;
  if (!pair_.leads()) {
    auto file = os::make_memory_file("bench-region", bytes);
    auto mapped = os::map_file(*file, 0, bytes, os::Access::kReadWrite);
    std::memset(mapped->data(), 7, bytes);
    auto region = worker_->register_file(file->get(), 0, {mapped->data(), bytes});
    if (!region) die(region.error().what);
    const ConstBytes key = (*region)->remote_key();
    pair_.put_string(std::string(base::as_string_view(key)));
    spin_until(received_ + 1);
    return samples;
  }
  const std::string key = pair_.get_string();
  std::vector<std::byte> to(bytes);
  auto region = worker_->register_memory(to);
  Done done;
  for (int i = -1; i < count; ++i) {  // The first maps the region.
    const auto start = Clock::now();
    peer_->read({0, bytes, base::as_bytes(key)}, {**region, 0, bytes}, done);
    while (done.count < i + 2) worker_->progress();
    if (i >= 0) samples.push_back(microseconds_since(start));
  }
  payload_.resize(8);
  must_send(payload_, nullptr);
  return samples;
}

}  // namespace mobula::bench

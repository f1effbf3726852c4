#include "bench/transport/ucx_transport_measured.h"

namespace mobula::bench {
namespace {

struct Done final : transport::Completion {
  void done(base::Result<std::size_t> bytes) override {
    if (!bytes) die("operation failed: " + bytes.error().what);
    ended = true;
  }
  bool ended = false;
};

// Longer ones are not copied, but sent with a completion.
constexpr std::size_t kCopiedBytesMax = 32u << 10;

}  // namespace

UcxTransportMeasured::UcxTransportMeasured(BenchPair& pair, const std::string& directory) : pair_(pair) {
  transport::WorkerOptions options;
  options.credentials.self.name = pair.leads() ? "leader" : "follower";
  options.socket_directory = directory;
  transport::UcxOptions ucx;
  ucx.transports = "posix,self";
  ucx.listen = transport::UcxOptions::Listen::kUnix;
  auto worker = transport::make_ucx_worker(options, *this, ucx);
  if (!worker) die(worker.error().what);
  worker_ = *std::move(worker);
  if (!pair.leads()) {
    pair.put_string(worker_->address());
    while (peer_ == nullptr) worker_->progress();
    return;
  }
  auto endpoint = worker_->connect(pair.get_string());
  if (!endpoint) die(endpoint.error().what);
  peer_ = *endpoint;
  while (!peer_->connected()) worker_->progress();
}

void UcxTransportMeasured::send(std::size_t bytes) {
  const transport::ConstBytes payload = transport::ConstBytes(payload_).first(bytes);
  if (bytes <= kCopiedBytesMax) {
    while (!peer_->send(1, {}, payload, nullptr)) worker_->progress();
    return;
  }
  Done done;
  while (!peer_->send(1, {}, payload, &done)) worker_->progress();
  while (!done.ended) worker_->progress();
}

std::vector<double> UcxTransportMeasured::round_trips(int count, std::size_t bytes) {
  payload_.resize(bytes);
  std::vector<double> samples;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t next = received_ + 1;
    if (!pair_.leads()) {
      spin_until(next);
      send(bytes);
      continue;
    }
    const auto start = Clock::now();
    send(bytes);
    spin_until(next);
    samples.push_back(microseconds_since(start));
  }
  return samples;
}

double UcxTransportMeasured::stream(int count, std::size_t bytes) {
  payload_.resize(bytes);
  if (!pair_.leads()) {
    spin_until(received_ + static_cast<std::uint64_t>(count));
    send(1);
    return 0;
  }
  const std::uint64_t next = received_ + 1;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) send(bytes);
  spin_until(next);
  return microseconds_since(start);
}

}  // namespace mobula::bench

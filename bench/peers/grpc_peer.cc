// gRPC's side of the benchmark: C++ unary calls with 64 bytes each way, and a server stream for bulk data, over a Unix
// socket and over loopback.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/peers/grpc_service.h"
#include "bench/sides/serve.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr int kInFlight = 64;

void check(const grpc::Status& status) {
  if (!status.ok()) throw CannotMeasure("gRPC: " + status.error_message());
}

peer::Bytes payload() {
  peer::Bytes bytes;
  bytes.set_data(std::string(64, 'x'));
  return bytes;
}

class Client {
 public:
  explicit Client(const GrpcServer& server) : stub_(server.connect()), into_(256 * kMiB) { call(); }

  double call_us(int count) {
    median_us(count / 10 + 1, [this] { call(); });
    return median_us(count, [this] { call(); });
  }
  double asleep_us(int count) {
    std::vector<double> us;
    for (int i = 0; i < count; ++i) {
      ::usleep(300);
      us.push_back(median_us(1, [this] { call(); }));
    }
    return median(std::move(us));
  }
  // 64 calls in flight.
  double calls_per_s(int count) {
    grpc::CompletionQueue queue;
    int started = 0;
    int done = 0;
    const auto start = Clock::now();
    while (done < count) {
      for (; started < count && started - done < kInFlight; ++started) begin(queue);
      void* tag = nullptr;
      bool ok = false;
      if (!queue.Next(&tag, &ok)) break;
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      check(call->status);
      ++done;
    }
    return count / seconds_since(start);
  }
  double pull_us(std::size_t size, int count) {
    pull(size);
    return median_us(count, [&] { pull(size); });
  }

 private:
  struct Call {
    grpc::ClientContext context;
    peer::Bytes answer;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<peer::Bytes>> reader;
  };
  void call() {
    grpc::ClientContext context;
    peer::Bytes answer;
    check(stub_->Echo(&context, payload(), &answer));
  }
  void begin(grpc::CompletionQueue& queue) {
    auto call = std::make_unique<Call>();
    call->reader = stub_->AsyncEcho(&call->context, payload(), &queue);
    Call* const tag = call.release();
    tag->reader->Finish(&tag->answer, &tag->status, tag);
  }
  void pull(std::size_t size) {
    grpc::ClientContext context;
    peer::Amount amount;
    amount.set_bytes(size);
    const auto reader = stub_->Pull(&context, amount);
    std::size_t at = 0;
    for (peer::Bytes chunk; reader->Read(&chunk); at += chunk.data().size()) {
      std::memcpy(into_.data() + at, chunk.data().data(), chunk.data().size());
    }
    check(reader->Finish());
  }

  std::unique_ptr<peer::Peer::Stub> stub_;
  std::vector<std::byte> into_;
};

// The faster of both.
class Clients {
 public:
  Clients(const GrpcServer& local, const GrpcServer& loopback) : local_(local), loopback_(loopback) {}
  template <class F>
  double lowest(F&& measure) {
    return std::min(measure(local_), measure(loopback_));
  }
  template <class F>
  double highest(F&& measure) {
    return std::max(measure(local_), measure(loopback_));
  }
  Client& loopback() { return loopback_; }

 private:
  Client local_;
  Client loopback_;
};

void add_calls(Side& side, Clients& clients) {
  const auto call = [&](Effort e) { return clients.lowest([&](Client& c) { return c.call_us(e.of(600)); }); };
  const auto rate = [&](Effort e) { return clients.highest([&](Client& c) { return c.calls_per_s(e.of(6000)); }); };
  side.add("actor_call_sync_us", call);
  side.add("task_sync_us", call);
  side.add("actor_call_sleeping_us",
           [&](Effort e) { return clients.lowest([&](Client& c) { return c.asleep_us(e.of(150)); }); });
  side.add("actor_call_async_per_s", rate);
  side.add("actor_call_nn_per_s", rate);
  side.add("task_async_per_s", rate);
}

void add_pulls(Side& side, Clients& clients) {
  const auto gbps = [](double us) { return static_cast<double>(256 * kMiB) / us / 1e3; };
  side.add("pull_256m_shm_gbps", [&, gbps](Effort e) {
    return gbps(clients.lowest([&](Client& c) { return c.pull_us(256 * kMiB, e.quick ? 1 : 2); }));
  });
  side.add("pull_1m_shm_us",
           [&](Effort e) { return clients.lowest([&](Client& c) { return c.pull_us(kMiB, e.of(20)); }); });
  side.add("pull_256m_sock_gbps",
           [&, gbps](Effort e) { return gbps(clients.loopback().pull_us(256 * kMiB, e.quick ? 1 : 2)); });
  side.add("pull_1m_sock_us", [&](Effort e) { return clients.loopback().pull_us(kMiB, e.of(20)); });
}

}  // namespace
}  // namespace mobula::bench

int main() {
  using namespace mobula::bench;
  Side side(grpc::Version());
  {
    const GrpcServer local("unix-abstract:mobula-bench-" + std::to_string(::getpid()));  // Leaves no file.
    const GrpcServer loopback("127.0.0.1:0");
    Clients clients(local, loopback);
    add_calls(side, clients);
    add_pulls(side, clients);
    side.serve();
  }
  return 0;
}

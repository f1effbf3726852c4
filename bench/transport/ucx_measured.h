#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ucp/api/ucp.h>

#include "bench/transport/measured.h"

namespace mobula::bench {

// UCX's own active messages over its shared memory (UCX_TLS=posix,self), without anything of ours around.
class UcxMeasured final : public Measured, public MeasuredStream {
 public:
  explicit UcxMeasured(BenchPair& pair);
  ~UcxMeasured() override;

  std::vector<double> round_trips(int count, std::size_t bytes) override;
  double stream(int count, std::size_t bytes) override;
  // Microseconds for `count` messages, each answered by one of the same size, `in_flight` at a time.
  double answered(int count, std::size_t bytes, int in_flight);

 private:
  static ucs_status_t on_message(void* self, const void* header, std::size_t header_bytes, void* data,
                                 std::size_t bytes, const ucp_am_recv_param_t* param);
  void send(std::size_t bytes);
  void finish(void* request);
  void spin_until(std::uint64_t received) {
    while (received_ < received) ucp_worker_progress(worker_);
  }

  BenchPair& pair_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  std::uint64_t received_ = 0;
  std::vector<char> payload_;
  std::vector<char> landing_;
};

}  // namespace mobula::bench

#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "core/base/bytes.h"
#include "transport/transport.h"
#include "transport/ucx/link.h"
#include "transport/ucx/reorder.h"

namespace mobula::transport::ucx {

class UcxEndpoint;

// Something that UCX was asked to do, or will be once the connection is there.
struct Op {
  enum class Step { kWireUp, kSend, kReceive, kRead, kWrite, kFlush };

  UcxEndpoint* endpoint = nullptr;
  Step step = Step::kSend;
  Completion* completion = nullptr;
  std::size_t result_bytes = 0;
  std::size_t charge = 0;  // Against the peer's queue.

  // kSend: the header (ours, then the user's) lies in `copy`, and the payload after it when it is copied.
  bool rendezvous = false;
  std::size_t header_bytes = 0;
  base::Buffer copy;
  ConstBytes payload;

  Held* held = nullptr;  // kReceive: where the bytes go.

  // kRead, kWrite: the peer's key lies in `copy`.
  Bytes local;
  std::uint64_t remote_offset = 0;
  Rkey* rkey = nullptr;
};

// Operations are taken and given back all the time; their memory stays.  Must outlive every operation.
class OpPool {
 public:
  Op& take(UcxEndpoint& endpoint, Op::Step step) {
    if (free_.empty()) free_.push_back(&all_.emplace_back());
    Op& op = *free_.back();
    free_.pop_back();
    op.endpoint = &endpoint;
    op.step = step;
    return op;
  }
  void give_back(Op& op) {
    // A large copy's memory is not kept.
    if (op.copy.size() > kKeptBytesMax) op.copy = base::Buffer();
    op.copy.clear();
    op.completion = nullptr;
    op.result_bytes = op.charge = op.header_bytes = 0;
    op.rendezvous = false;
    op.payload = {};
    op.held = nullptr;
    op.rkey = nullptr;
    free_.push_back(&op);
  }
  std::size_t in_use() const { return all_.size() - free_.size(); }

 private:
  static constexpr std::size_t kKeptBytesMax = 4096;

  std::deque<Op> all_;
  std::vector<Op*> free_;
};

}  // namespace mobula::transport::ucx

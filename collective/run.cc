#include "collective/run.h"

#include <algorithm>
#include <cstring>

namespace mobula::collective {

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::kBarrier: return "barrier";
    case Operation::kBroadcast: return "broadcast";
    case Operation::kReduce: return "reduce";
    case Operation::kAllreduce: return "allreduce";
    case Operation::kGather: return "gather";
    case Operation::kScatter: return "scatter";
    case Operation::kAllgather: return "allgather";
    case Operation::kReduceScatter: return "reduce_scatter";
    case Operation::kAlltoall: return "alltoall";
    case Operation::kScan: return "scan";
    case Operation::kExclusiveScan: return "exclusive_scan";
    case Operation::kSendReceive: return "send/recv";
  }
  return "?";
}

Run::Run(Plan plan, const Signature& signature, std::uint64_t sequence, const Buffers& buffers,
         const Reduction* reduction, int self, int size)
    : plan_(std::move(plan)),
      signature_(signature),
      sequence_(sequence),
      buffers_(buffers),
      reduction_(reduction),
      self_(self),
      size_(size) {
  if (plan_.scratch != 0) {
    scratch_ = std::make_unique_for_overwrite<std::byte[]>(plan_.scratch * signature_.element_bytes);
  }
  enter_round();
}

std::byte* Run::at(const Range& range) {
  const std::size_t offset = range.offset * signature_.element_bytes;
  switch (range.buffer) {
    // Only copied and sent from; plans never write the input.
    case Buffer::kInput: return const_cast<std::byte*>(buffers_.input) + offset;
    case Buffer::kOutput: return buffers_.output + offset;
    case Buffer::kScratch: return scratch_.get() + offset;
  }
  return nullptr;
}

// Whole elements, so that a piece can be reduced by itself.
std::size_t Run::piece_bytes() const {
  const std::size_t element = std::max<std::size_t>(signature_.element_bytes, 1);
  return std::max(kPieceBytesMax / element * element, element);
}

void Run::enter_round() {
  sends_.clear();
  receives_.clear();
  open_ = 0;
  if (done()) return;
  const std::size_t begin = round_ == 0 ? 0 : plan_.round_ends[round_ - 1];
  for (std::size_t i = begin; i < plan_.round_ends[round_]; ++i) {
    const Step& step = plan_.steps[i];
    if (step.kind == StepKind::kSend) {
      sends_.push_back({&step, sent_[step.peer]++});
    } else if (step.kind == StepKind::kReceive || step.kind == StepKind::kReceiveReduce ||
               step.kind == StepKind::kReceiveReduceFirst) {
      receives_.push_back({&step, expected_[step.peer]++});
    }
  }
  open_ = sends_.size() + receives_.size();
  for (Pending& pending : receives_) {
    const auto [first, last] = early_.equal_range({pending.step->peer, pending.message});
    for (auto it = first; it != last; ++it) land(pending, it->second.header, it->second.payload);
    early_.erase(first, last);
  }
}

void Run::leave_round() {
  const std::size_t begin = round_ == 0 ? 0 : plan_.round_ends[round_ - 1];
  for (std::size_t i = begin; i < plan_.round_ends[round_]; ++i) local(plan_.steps[i]);
  ++round_;
  if (done() && reduction_ != nullptr && reduction_->finish != nullptr && buffers_.output != nullptr) {
    std::size_t count = signature_.count;
    if (signature_.operation == Operation::kReduceScatter) {
      // The rank's own block: what its last step wrote.
      count = plan_.steps.back().to.count;
    } else if (signature_.operation == Operation::kReduce && self_ != signature_.root) {
      count = 0;
    }
    if (count != 0) reduction_->finish(buffers_.output, count, size_);
  }
  enter_round();
}

void Run::local(const Step& step) {
  const std::size_t n = bytes(step.to);
  if (n == 0) return;
  switch (step.kind) {
    case StepKind::kCopy:
      if (at(step.from) != at(step.to)) std::memcpy(at(step.to), at(step.from), n);
      break;
    case StepKind::kReduce: reduction_->apply(at(step.to), at(step.to), at(step.from), step.to.count); break;
    case StepKind::kReduceFirst: reduction_->apply(at(step.to), at(step.from), at(step.to), step.to.count); break;
    case StepKind::kSend:
    case StepKind::kReceive:
    case StepKind::kReceiveReduce:
    case StepKind::kReceiveReduceFirst: break;
  }
}

bool Run::land(Pending& pending, const MessageHeader& header, ConstBytes payload) {
  const Step& step = *pending.step;
  const std::size_t total = bytes(step.to);
  // Pieces of one step come in order.
  if (pending.finished || header.total != total || header.offset != pending.moved ||
      payload.size() > total - pending.moved || (payload.empty() && total != 0) ||
      (signature_.element_bytes != 0 && payload.size() % signature_.element_bytes != 0)) {
    return false;
  }
  if (!payload.empty()) {
    std::byte* to = at(step.to) + pending.moved;
    if (step.kind == StepKind::kReceive) {
      std::memcpy(to, payload.data(), payload.size());
    } else {
      const std::size_t count = payload.size() / signature_.element_bytes;
      // A message lies where the transport had room; elements want their own alignment.
      const void* with = payload.data();
      std::unique_ptr<std::byte[]> aligned;
      if (reinterpret_cast<std::uintptr_t>(with) % alignof(std::max_align_t) != 0) {
        aligned = std::make_unique_for_overwrite<std::byte[]>(payload.size());
        std::memcpy(aligned.get(), payload.data(), payload.size());
        with = aligned.get();
      }
      if (step.kind == StepKind::kReceiveReduce) {
        reduction_->apply(to, to, with, count);
      } else {
        reduction_->apply(to, with, to, count);
      }
    }
  }
  pending.moved += payload.size();
  if (pending.moved == total) {
    pending.finished = true;
    --open_;
  }
  return true;
}

bool Run::take(int from, const MessageHeader& header, ConstBytes payload) {
  if (done()) return false;
  for (Pending& pending : receives_) {
    if (pending.step->peer == from && pending.message == header.message) return land(pending, header, payload);
  }
  if (header.message < expected_[from]) return false;
  early_.emplace(std::pair(from, header.message), Early{header, {payload.begin(), payload.end()}});
  return true;
}

std::vector<int> Run::waits_for() const {
  std::vector<int> out;
  for (const Pending& pending : receives_) {
    if (!pending.finished) out.push_back(pending.step->peer);
  }
  return out;
}

}  // namespace mobula::collective

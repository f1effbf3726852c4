#include "collective/board.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace mobula::collective {
namespace {

Signature signature_of_request(const Request& r, const Reduction* reduction) {
  return {r.operation, r.root, reduction != nullptr ? reduction->id : 0, r.count, r.element_bytes};
}

std::uint64_t hash(const Signature& s) {
  std::uint64_t h = static_cast<std::uint64_t>(s.operation) + 1;
  for (const std::uint64_t v : {static_cast<std::uint64_t>(static_cast<std::uint32_t>(s.root)),
                                static_cast<std::uint64_t>(s.reduction), s.count, s.element_bytes}) {
    h = (h ^ v) * 0x9e37'79b9'7f4a'7c15u;
    h ^= h >> 32;
  }
  return h;
}

bool reduces_to_all(Operation operation) { return operation == Operation::kAllreduce; }

void copy_bytes(void* to, const void* from, std::size_t n) {
  if (n != 0 && to != from) std::memmove(to, from, n);
}

}  // namespace

Board::Board(Place place, Block& own, std::vector<const Block*> blocks)
    : place_(place), own_(own), blocks_(std::move(blocks)) {}

Board::Block& Board::format(void* memory) { return *new (memory) Block; }

bool Board::can_run(const Request& r) const {
  return r.counts.empty() && r.receives.empty() && r.operation != Operation::kSendReceive &&
         r.element_bytes * static_cast<std::size_t>(place_.size) <= kStageBytes / 4;
}

// ---- phases -----------------------------------------------------------------------------------------

bool Board::publish(Patience& patience) {
  if (!await_all(phase_, patience)) return false;
  ++phase_;
  Line& line = own_.lines[phase_ & 1];
  line.call = call_;
  line.phase.store(phase_, std::memory_order_seq_cst);
  for (int rank = 0; rank < place_.size; ++rank) {
    if (rank != place_.rank && block(rank).asleep.load(std::memory_order_seq_cst) != 0) patience.wake(rank);
  }
  return true;
}

bool Board::await(int first, int last, std::uint64_t phase, Patience& patience) {
  wait_first_ = first;
  wait_last_ = last;
  wait_phase_ = phase;
  for (; wait_first_ < last; ++wait_first_) {
    for (std::uint64_t spins = 0; wait_first_ != place_.rank && !published(wait_first_, phase); ++spins) {
      if (!patience.wait_more(spins)) return false;
    }
  }
  // While this rank has published no later phase, nobody can write the lines of this one again.
  return phase != first_phase_ || phase_ > first_phase_ || check_calls();
}

// In the first phase of a call: all that have come must have come to the same one.
bool Board::check_calls() {
  for (int rank = 0; rank < place_.size; ++rank) {
    const Line& line = block(rank).lines[first_phase_ & 1];
    if (rank == place_.rank || line.phase.load(std::memory_order_acquire) != first_phase_) continue;
    if (line.call != call_) {
      mismatch_ = rank;
      return false;
    }
  }
  return true;
}

bool Board::fall_asleep() {
  own_.asleep.store(1, std::memory_order_seq_cst);
  for (int rank = wait_first_; rank < wait_last_; ++rank) {
    const std::uint64_t phase = block(rank).lines[wait_phase_ & 1].phase.load(std::memory_order_seq_cst);
    if (rank != place_.rank && phase < wait_phase_) return false;
  }
  wake_up();
  return true;
}

std::vector<int> Board::waits_for() const {
  std::vector<int> out;
  for (int rank = wait_first_; rank < wait_last_; ++rank) {
    if (rank != place_.rank && !published(rank, wait_phase_)) out.push_back(rank);
  }
  return out;
}

std::byte* Board::take_stage(std::uint64_t free_at, Patience& patience) {
  stage_ ^= 1;
  const std::uint64_t until = std::exchange(stage_free_at_[stage_], free_at);
  if (until > phase_ || !await_all(until, patience)) return nullptr;
  return own_.stages[stage_].data();
}

template <class Part>
void Board::reduce(const Call& call, std::byte* into, std::size_t count, int first, int last, Part&& part) const {
  if (count == 0) return;
  if (last - first == 1) return copy_bytes(into, part(first), call.bytes(count));
  call.reduction->apply(into, part(first), part(first + 1), count);
  for (int rank = first + 2; rank < last; ++rank) call.reduction->apply(into, into, part(rank), count);
}

// ---- calls ------------------------------------------------------------------------------------------

Board::Outcome Board::run(const Request& request, const Reduction* reduction, const void* input, void* output,
                          Patience& patience) {
  const Call call{request, reduction, static_cast<const std::byte*>(input), static_cast<std::byte*>(output), patience};
  own_.signature = signature_of_request(request, reduction);
  call_ = hash(own_.signature);
  first_phase_ = phase_ + 1;
  mismatch_ = -1;
  const bool done = [&] {
    switch (request.operation) {
      case Operation::kBarrier: return run_inline(call);
      case Operation::kAllreduce:
      case Operation::kReduce:
        return call.bytes(request.count) <= kInlineBytes ? run_inline(call) : run_reduction(call);
      case Operation::kBroadcast: return run_broadcast(call);
      default: return run_exchange(call);
    }
  }();
  if (!done) return mismatch_ >= 0 ? Outcome::kMismatch : Outcome::kGivenUp;
  if (reduction != nullptr && reduction->finish != nullptr &&
      (request.operation != Operation::kReduce || request.root == place_.rank)) {
    reduction->finish(output, request.count, place_.size);
  }
  return Outcome::kDone;
}

// Everything beside the phase itself: one cache line from each rank.
bool Board::run_inline(const Call& call) {
  const std::size_t n = call.request.operation == Operation::kBarrier ? 0 : call.bytes(call.request.count);
  if (!await_all(phase_, call.patience)) return false;
  Line& line = own_.lines[(phase_ + 1) & 1];
  if (n != 0) std::memcpy(line.bytes.data(), call.input, n);
  if (!publish(call.patience) || !await_all(phase_, call.patience)) return false;
  if (n == 0 || (call.request.operation == Operation::kReduce && call.request.root != place_.rank)) return true;
  const auto part = [&](int rank) { return block(rank).lines[phase_ & 1].bytes.data(); };
  alignas(16) std::array<std::byte, kInlineBytes> result;
  reduce(call, result.data(), call.request.count, 0, place_.size, part);
  std::memcpy(call.output, result.data(), n);
  return true;
}

// By chunks of a stage: each rank reduces its own slice straight from all the others' stages, into its own stage; then
// the slices are read by whoever wants the result.
bool Board::run_reduction(const Call& call) {
  const std::size_t chunk_max = kStageBytes / call.request.element_bytes;
  const bool wants = reduces_to_all(call.request.operation) || call.request.root == place_.rank;
  for (std::size_t done = 0; done < call.request.count;) {
    const std::size_t count = std::min(chunk_max, call.request.count - done);
    const Blocks slices = Blocks::even(count, place_.size);
    const std::byte* const input = call.input + call.bytes(done);
    // Two phases, and the next one says that the slices have been read.
    std::byte* const stage = take_stage(phase_ + 3, call.patience);
    if (stage == nullptr) return false;
    const std::size_t own_begin = call.bytes(slices.offset(place_.rank));
    const std::size_t own_end = call.bytes(slices.offset(place_.rank + 1));
    copy_bytes(stage, input, own_begin);
    copy_bytes(stage + own_end, input + own_end, call.bytes(count) - own_end);
    if (!publish(call.patience) || !await_all(phase_, call.patience)) return false;
    reduce(call, stage + own_begin, slices.count(place_.rank), 0, place_.size,
           [&](int rank) { return rank == place_.rank ? input + own_begin : stage_of(rank) + own_begin; });
    if (!publish(call.patience)) return false;
    if (wants) {
      std::byte* const output = call.output + call.bytes(done);
      for (int i = 0; i < place_.size; ++i) {
        const int rank = (place_.rank + i) % place_.size;
        if (!await(rank, rank + 1, phase_, call.patience)) return false;
        const std::size_t begin = call.bytes(slices.offset(rank));
        copy_bytes(output + begin, stage_of(rank) + begin, call.bytes(slices.count(rank)));
      }
    }
    done += count;
  }
  return true;
}

bool Board::run_broadcast(const Call& call) {
  const std::size_t chunk_max = kStageBytes / call.request.element_bytes;
  const int root = call.request.root;
  std::size_t done = 0;
  do {
    const std::size_t count = std::min(chunk_max, call.request.count - done);
    // Readers publish the phase when they have read.
    std::byte* const stage = take_stage(phase_ + 1, call.patience);
    if (stage == nullptr) return false;
    std::byte* const data = call.output + call.bytes(done);
    if (place_.rank == root) {
      copy_bytes(stage, data, call.bytes(count));
    } else {
      if (!await(root, root + 1, phase_ + 1, call.patience)) return false;
      copy_bytes(data, stage_of(root), call.bytes(count));
    }
    if (!publish(call.patience)) return false;
    done += count;
  } while (done < call.request.count);
  return true;
}

// Gather, scatter, allgather, reduce_scatter, alltoall, scans: each rank stages a part of what others read, publishes,
// and reads its part of theirs.
bool Board::run_exchange(const Call& call) {
  const Request& r = call.request;
  const bool per_rank = r.operation == Operation::kScatter || r.operation == Operation::kReduceScatter ||
                        r.operation == Operation::kAlltoall;  // A stage holds a part for each rank.
  const bool stages_input = (r.operation != Operation::kScatter || r.root == place_.rank);
  const auto parts = static_cast<std::size_t>(per_rank ? place_.size : 1);
  const std::size_t chunk_max = kStageBytes / r.element_bytes / parts;
  const std::size_t whole = call.bytes(r.count);
  const auto size = static_cast<std::size_t>(place_.size);
  const auto self = static_cast<std::size_t>(place_.rank);
  std::size_t done = 0;
  do {
    const std::size_t count = std::min(chunk_max, r.count - done);
    const std::size_t n = call.bytes(count);
    const std::size_t at = call.bytes(done);
    std::byte* const stage = take_stage(phase_ + 2, call.patience);  // The next phase says that it has been read.
    if (stage == nullptr) return false;
    for (std::size_t p = 0; p < parts && stages_input; ++p) {
      copy_bytes(stage + p * n, call.input + (per_rank ? p * whole : 0) + at, n);
    }
    if (!publish(call.patience)) return false;
    const auto mine = [&](int rank) { return stage_of(rank) + self * n; };
    const auto theirs = [&](int rank) { return stage_of(rank); };
    switch (r.operation) {
      case Operation::kScatter:
        if (!await(r.root, r.root + 1, phase_, call.patience)) return false;
        copy_bytes(call.output + at, mine(r.root), n);
        break;
      case Operation::kReduceScatter:
        if (!await_all(phase_, call.patience)) return false;
        reduce(call, call.output + at, count, 0, place_.size, mine);
        break;
      case Operation::kScan:
        if (!await(0, place_.rank + 1, phase_, call.patience)) return false;
        reduce(call, call.output + at, count, 0, place_.rank + 1, theirs);
        break;
      case Operation::kExclusiveScan:
        if (place_.rank == 0) break;
        if (!await(0, place_.rank, phase_, call.patience)) return false;
        reduce(call, call.output + at, count, 0, place_.rank, theirs);
        break;
      case Operation::kGather:
        if (r.root != place_.rank) break;
        [[fallthrough]];
      default:  // Gather at the root, allgather, alltoall.
        for (std::size_t i = 0; i < size; ++i) {
          const std::size_t rank = (self + i) % size;
          const int from = static_cast<int>(rank);
          if (!await(from, from + 1, phase_, call.patience)) return false;
          copy_bytes(call.output + rank * whole + at, per_rank ? mine(from) : theirs(from), n);
        }
    }
    done += count;
  } while (done < r.count);
  return true;
}

}  // namespace mobula::collective

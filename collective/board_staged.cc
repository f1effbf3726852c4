// Calls through the stages of the blocks: what others read is copied there first.
#include <algorithm>
#include <utility>

#include "collective/board.h"
#include "collective/board_inline.h"

namespace mobula::collective {
namespace {

// Up to here, of all ranks' inputs, one hand-over is worth more than to share the work.
constexpr std::size_t kFlatBytesMax = std::size_t{16} << 10;

bool reduces_to_all(Operation operation) { return operation == Operation::kAllreduce; }

}  // namespace

bool Board::run_staged(const Call& call) {
  switch (call.request.operation) {
    case Operation::kBarrier: return run_inline(call);
    case Operation::kAllreduce:
    case Operation::kReduce: {
      const std::size_t bytes = call.bytes(call.request.count);
      if (bytes <= kInlineBytes) return run_inline(call);
      if (bytes * static_cast<std::size_t>(place_.size) <= kFlatBytesMax) return run_flat_reduction(call);
      return run_reduction(call);
    }
    case Operation::kBroadcast: return run_broadcast(call);
    default: return run_exchange(call);
  }
}

// Each stages its input and reduces all of them: one hand-over.
bool Board::run_flat_reduction(const Call& call) {
  const std::size_t count = call.request.count;
  std::byte* const stage = take_stage(phase_ + 2, call.patience);  // The next phase says that it has been read.
  if (stage == nullptr) return false;
  copy_bytes(stage, call.input, call.bytes(count));
  if (!publish(call.patience)) return false;
  if (!reduces_to_all(call.request.operation) && call.request.root != place_.rank) return true;
  if (!await_all(phase_, call.patience)) return false;
  reduce(call, call.output, count, 0, place_.size, [&](int rank) { return stage_of(rank); });
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

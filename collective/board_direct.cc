// Calls that read the other ranks' buffers where they are.
//
// Each rank says where its buffers are; then it reads what it needs; at last all wait until all have read, since a
// buffer is its owner's again when its call returns.  A rank that leaves in the middle says so before its caller can
// touch the memory (Block::given_up), and who has read anything looks at that before it takes its result for good: so
// nobody ends well with bytes that had changed under its hands, even when the rank whose death ended the call had done
// its part.
#include <algorithm>
#include <cstring>

#include "collective/board.h"
#include "collective/board_inline.h"

namespace mobula::collective {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{64} << 10;  // Two of them and the result fit a core's cache.
constexpr std::size_t kSlicesBytes = std::size_t{1} << 20;  // Reduced before the results are fetched.
constexpr std::uint64_t kNowhere = 0;

}  // namespace

std::size_t Board::exchanged_bytes(const Call& call, int size) {
  const std::size_t bytes = call.bytes(call.request.count);
  switch (call.request.operation) {
    case Operation::kReduceScatter:
    case Operation::kAllgather:
    case Operation::kAlltoall:
    case Operation::kGather:
    case Operation::kScatter: return bytes * static_cast<std::size_t>(size - 1);
    default: return bytes;
  }
}

// By what all ranks know.
bool Board::may_run_direct(const Call& call) const {
  switch (call.request.operation) {
    case Operation::kBarrier:
    case Operation::kScan:  // In place, a rank would write what the next one reads.
    case Operation::kExclusiveScan: return false;
    default: return reach_ != nullptr && place_.size > 1 && exchanged_bytes(call, place_.size) >= kMappedBytesMin;
  }
}

// All that the call may read of this rank is in place of all or nothing is.
Board::Exposed Board::expose(const Call& call) const {
  const Request& r = call.request;
  const std::size_t one = call.bytes(r.count);
  const std::size_t all = one * static_cast<std::size_t>(place_.size);
  const bool is_root = r.root == place_.rank;
  std::size_t in = 0;
  std::size_t out = 0;
  switch (r.operation) {
    case Operation::kAllreduce: out = one; [[fallthrough]];
    case Operation::kReduce:
    case Operation::kGather:
    case Operation::kAllgather: in = one; break;
    case Operation::kReduceScatter:
    case Operation::kAlltoall: in = all; break;
    case Operation::kScatter: in = is_root ? all : 0; break;
    case Operation::kBroadcast: out = is_root ? one : 0; break;
    default: break;
  }
  const auto input = in == 0 ? kNowhere : reach_->shared_offset(call.input, in);
  const auto output = out == 0 ? kNowhere : reach_->shared_offset(call.output, out);
  if (input && output) return {*input, *output, true};
  return {reinterpret_cast<std::uint64_t>(call.input), reinterpret_cast<std::uint64_t>(call.output), false};
}

bool Board::exchange_exposed(const Call& call) {
  static_assert(sizeof(Exposed) <= kInlineBytes);
  if (!await_all(phase_, call.patience)) return false;
  const Exposed mine = expose(call);
  std::memcpy(own_.lines[(phase_ + 1) & 1].bytes.data(), &mine, sizeof mine);
  if (!publish(call.patience) || !await_all(phase_, call.patience)) return false;
  exposed_.resize(static_cast<std::size_t>(place_.size));
  for (int rank = 0; rank < place_.size; ++rank) {
    std::memcpy(&exposed_[static_cast<std::size_t>(rank)], block(rank).lines[phase_ & 1].bytes.data(), sizeof(Exposed));
  }
  return true;
}

// Whether memory is read where it is; all ranks decide alike, by what all have exposed.
bool Board::reads_direct(std::size_t bytes) const {
  if (std::ranges::all_of(exposed_, &Exposed::in_place_of_all)) return true;
  return reach_->copies() && bytes >= kCopiedBytesMin;
}

const std::byte* Board::piece_of(int rank, From from, std::size_t at, std::size_t bytes, std::byte* scratch) {
  const Exposed& theirs = exposed_[static_cast<std::size_t>(rank)];
  const std::uint64_t begin = (from == From::kInput ? theirs.input : theirs.output) + at;
  if (theirs.in_place_of_all) return reach_->shared(begin);
  if (reach_->copy(rank, begin, scratch, bytes)) return scratch;
  unreadable_ = rank;
  return nullptr;
}

bool Board::read(int rank, From from, std::size_t at, std::byte* into, std::size_t bytes) {
  if (bytes == 0) return true;
  const std::byte* const found = piece_of(rank, from, at, bytes, into);
  if (found != nullptr) copy_bytes(into, found, bytes);
  return found != nullptr;
}

// Elements [first, first + count) of all inputs, in rank order, a piece at a time.
bool Board::reduce_direct(const Call& call, std::byte* into, std::size_t first, std::size_t count) {
  if (scratch_ == nullptr) scratch_ = std::make_unique_for_overwrite<std::byte[]>(3 * kPieceBytes);
  const std::size_t element = call.request.element_bytes;
  const std::size_t elements_max = std::max<std::size_t>(1, kPieceBytes / element);
  for (std::size_t done = 0; done < count;) {
    const std::size_t n = std::min(elements_max, count - done);
    const std::size_t at = call.bytes(first + done);
    // In place, the sum of the ranks before must not be written over what this rank adds to it.
    const bool overwrites = place_.rank > 1 && into + call.bytes(done) == call.input + at;
    std::byte* const sum = overwrites ? scratch_.get() + 2 * kPieceBytes : into + call.bytes(done);
    bool found = true;
    reduce(call, sum, n, 0, place_.size, [&](int rank) -> const std::byte* {
      if (rank == place_.rank) return call.input + at;
      std::byte* const scratch = scratch_.get() + (rank & 1) * static_cast<std::ptrdiff_t>(kPieceBytes);
      const std::byte* const piece = piece_of(rank, From::kInput, at, call.bytes(n), scratch);
      if (piece == nullptr) found = false;
      return piece == nullptr ? scratch : piece;
    });
    if (!found) return false;
    copy_bytes(into + call.bytes(done), sum, call.bytes(n));
    done += n;
  }
  return true;
}

// Allreduce and reduce: each rank reduces its slice into its own output, or, of a reduce, the root reduces everything.
bool Board::reduce_slices(const Call& call) {
  const Request& r = call.request;
  if (r.operation == Operation::kReduce) {
    return r.root != place_.rank || reduce_direct(call, call.output, 0, r.count);
  }
  const std::size_t chunk_max =
      std::max<std::size_t>(static_cast<std::size_t>(place_.size), kSlicesBytes / r.element_bytes);
  for (std::size_t done = 0; done < r.count;) {
    const std::size_t count = std::min(chunk_max, r.count - done);
    const Blocks slices = Blocks::even(count, place_.size);
    const std::size_t own = done + slices.offset(place_.rank);
    if (!reduce_direct(call, call.output + call.bytes(own), own, slices.count(place_.rank))) return false;
    if (!publish(call.patience)) return false;
    for (int i = 1; i < place_.size; ++i) {
      const int rank = (place_.rank + i) % place_.size;
      // That has read the slice of this rank's input, too: in place, it is what is written now.
      if (!await(rank, rank + 1, phase_, call.patience)) return false;
      const std::size_t at = call.bytes(done + slices.offset(rank));
      if (!read(rank, From::kOutput, at, call.output + at, call.bytes(slices.count(rank)))) return false;
    }
    done += count;
  }
  return true;
}

bool Board::exchange_direct(const Call& call) {
  const Request& r = call.request;
  const std::size_t one = call.bytes(r.count);
  const auto size = static_cast<std::size_t>(place_.size);
  const auto self = static_cast<std::size_t>(place_.rank);
  const bool is_root = r.root == place_.rank;
  switch (r.operation) {
    case Operation::kBroadcast: return is_root || read(r.root, From::kOutput, 0, call.output, one);
    case Operation::kReduceScatter: return reduce_direct(call, call.output, self * r.count, r.count);
    case Operation::kScatter:
      if (!is_root) return read(r.root, From::kInput, self * one, call.output, one);
      copy_bytes(call.output, call.input + self * one, one);
      return true;
    case Operation::kGather:
      if (!is_root) return true;
      [[fallthrough]];
    default: break;  // Gather at the root, allgather, alltoall.
  }
  const bool per_rank = r.operation == Operation::kAlltoall;
  copy_bytes(call.output + self * one, call.input + (per_rank ? self * one : 0), one);
  for (std::size_t i = 1; i < size; ++i) {
    const std::size_t rank = (self + i) % size;
    if (!read(static_cast<int>(rank), From::kInput, per_rank ? self * one : 0, call.output + rank * one, one))
      return false;
  }
  return true;
}

// Until all have read.
bool Board::finish_direct(const Call& call) {
  if (!publish(call.patience) || !await_all(phase_, call.patience)) return false;
  for (int rank = 0; rank < place_.size; ++rank) {
    if (block(rank).given_up.load(std::memory_order_seq_cst) == 0) continue;
    unreadable_ = rank;
    return false;
  }
  return true;
}

bool Board::run_direct(const Call& call) {
  if (!exchange_exposed(call)) return false;
  if (!reads_direct(exchanged_bytes(call, place_.size))) return run_staged(call);
  const bool reduces = call.request.operation == Operation::kAllreduce || call.request.operation == Operation::kReduce;
  return (reduces ? reduce_slices(call) : exchange_direct(call)) && finish_direct(call);
}

}  // namespace mobula::collective

#include "collective/board.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "collective/board_inline.h"

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

}  // namespace

Board::Board(Place place, Block& own, std::vector<const Block*> blocks, const Reach* reach)
    : place_(place), own_(own), blocks_(std::move(blocks)), reach_(reach) {}

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

bool Board::awaited_shares_cpu() const {
  if (wait_first_ >= wait_last_) return false;
  const std::uint32_t cpu = block(wait_first_).cpu.load(std::memory_order_relaxed);
  return cpu == own_.cpu.load(std::memory_order_relaxed);
}

void Board::runs_on(std::uint32_t cpu) {
  if (own_.cpu.load(std::memory_order_relaxed) != cpu) own_.cpu.store(cpu, std::memory_order_relaxed);
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

// ---- calls ------------------------------------------------------------------------------------------

Board::Outcome Board::run(const Request& request, const Reduction* reduction, const void* input, void* output,
                          Patience& patience) {
  const Call call{request, reduction, static_cast<const std::byte*>(input), static_cast<std::byte*>(output), patience};
  own_.signature = signature_of_request(request, reduction);
  call_ = hash(own_.signature);
  first_phase_ = phase_ + 1;
  mismatch_ = -1;
  unreadable_ = -1;
  if (!(may_run_direct(call) ? run_direct(call) : run_staged(call))) {
    own_.given_up.store(1, std::memory_order_seq_cst);
    if (unreadable_ >= 0) return Outcome::kUnreadable;
    return mismatch_ >= 0 ? Outcome::kMismatch : Outcome::kGivenUp;
  }
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

}  // namespace mobula::collective

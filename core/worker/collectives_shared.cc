// Collectives in shared memory: how a group finds out that all its members are on one node, and how they wait there.
#include <sched.h>

#include <cstring>
#include <utility>

#include "core/os/event_loop.h"
#include "core/worker/collectives.h"

namespace mobula::runtime {

using collective::Board;
using collective::GroupKey;
using collective::MessageHeader;
using collective::MessageKind;
using collective::Operation;

namespace {

constexpr int kMembersMax = 64;  // Each rank looks at every other's line.
constexpr std::uint64_t kSpinsPerLook = 128;
constexpr auto kSpinBudget = std::chrono::microseconds(50);
constexpr auto kYieldBudget = std::chrono::microseconds(20);  // Without a token.

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// The object in the node's store that holds a member's block.
base::ObjectId block_id(const GroupKey& key, int rank) {
  base::ObjectId id;
  id.words = {0x636f'6c6cu, static_cast<std::uint32_t>(key.id >> 32), static_cast<std::uint32_t>(key.id),
              key.epoch,    static_cast<std::uint32_t>(rank),         0x626c'6f63u,
              0x6b00'0001u};
  return id;
}

// What members tell each other to find out where all are.
struct Whereabouts {
  base::NodeId node;
  std::uint32_t has_block = 0;
};

}  // namespace

// Spins with a token, yields without one, looks after the engine now and then, and sleeps when it takes long; who
// publishes then wakes it by a message.
class Collectives::InSharedMemory final : public Board::Patience {
 public:
  InSharedMemory(Collectives& all, Joined& joined, bool may_spin) : all_(all), joined_(joined), may_spin_(may_spin) {}

  bool wait_more(std::uint64_t spins) override {
    if (spins == 0) since_ = {};
    if (may_spin_ && spins % kSpinsPerLook != kSpinsPerLook - 1) {
      cpu_relax();
      return true;
    }
    ::sched_yield();
    const base::Time now = os::now();
    if (since_ == base::Time{}) since_ = now;
    if (now - since_ < (may_spin_ ? kSpinBudget : kYieldBudget)) return true;
    since_ = {};
    return sleep();
  }

  void wake(int rank) override {
    Engine::Lock lock(all_.engine_);
    MessageHeader header;
    header.kind = MessageKind::kWake;
    header.group = joined_.group.key().id;
    header.epoch = joined_.group.key().epoch;
    header.from = joined_.group.place().rank;
    all_.engine_.wait(
        lock, [&] { return joined_.group.failure() || joined_.send(rank, header, {}); }, std::nullopt);
  }

 private:
  bool sleep() {
    Engine::Lock lock(all_.engine_);
    if (joined_.group.failure()) return false;
    joined_.woken = false;
    if (joined_.board->fall_asleep()) return true;
    joined_.sleeps_for = joined_.board->waits_for();
    all_.watch();
    all_.engine_.wait(
        lock, [&] { return joined_.woken || joined_.group.failure() || joined_.board->waits_for().empty(); },
        std::nullopt);
    joined_.board->wake_up();
    joined_.sleeps_for.clear();
    may_spin_ = all_.engine_.take_spin_token();
    return !joined_.group.failure();
  }

  Collectives& all_;
  Joined& joined_;
  bool may_spin_;
  base::Time since_{};
};

// One allgather among the members by messages; false: the group has failed.
bool Collectives::exchange(Engine::Lock& lock, Joined& joined, const void* mine, void* all, std::size_t bytes) {
  const collective::Request request{Operation::kAllgather, 0, bytes, 1, {}, {}};
  const auto call = joined.group.begin(
      plan_for(options_.table, request, joined.group.place()), {Operation::kAllgather, 0, 0, bytes, 1},
      {static_cast<const std::byte*>(mine), static_cast<std::byte*>(all)}, nullptr, joined);
  watch();
  engine_.wait(
      lock, [&] { return call->ended(); }, std::nullopt);
  return call->done;
}

// With the first blocking call of a group: where is everybody?  On one node each has a block in its store that the
// others map.  All members decide alike.
bool Collectives::prepare(Engine::Lock& lock, Joined& joined) {
  joined.prepared = true;
  const collective::Place place = joined.group.place();
  const auto size = static_cast<std::size_t>(place.size);
  Whereabouts mine{links_.self().node, 0};
  Board::Block* block = nullptr;
  if (place.size <= kMembersMax && options_.shared_memory) {
    if (auto allocated = store_.allocate(lock, sizeof(Board::Block))) {
      block = &Board::format(allocated->bytes().data());
      mine.has_block =
          store_.seal(std::move(*allocated), block_id(joined.group.key(), place.rank), objstore::Copy::kPrimary) ? 1
                                                                                                                 : 0;
    }
  }
  std::vector<Whereabouts> all(size);
  if (!exchange(lock, joined, &mine, all.data(), sizeof mine)) return false;
  std::vector<const Board::Block*> blocks;
  std::vector<View> views;
  for (std::size_t r = 0; r < size; ++r) {
    if (all[r].has_block == 0 || !(all[r].node == mine.node)) break;
    auto view = store_.get(block_id(joined.group.key(), static_cast<int>(r)));
    if (!view) break;
    blocks.push_back(reinterpret_cast<const Board::Block*>(view->bytes.data()));
    views.push_back(std::move(*view));
  }
  const std::uint8_t sees_all = blocks.size() == size ? 1 : 0;
  std::vector<std::uint8_t> seen(size);
  if (!exchange(lock, joined, &sees_all, seen.data(), 1)) return false;
  if (std::ranges::count(seen, 1) == static_cast<std::ptrdiff_t>(size)) {
    joined.views = std::move(views);
    joined.board = std::make_unique<Board>(place, *block, std::move(blocks));
  } else if (block != nullptr) {
    store_.free(block_id(joined.group.key(), place.rank));
  }
  return true;
}

// The group has failed or is left: nobody of this process is in a call on its board.
void Collectives::leave_shared(Joined& joined) {
  if (joined.board == nullptr) return;
  joined.board.reset();
  joined.views.clear();
  store_.free(block_id(joined.group.key(), joined.group.place().rank));
}

std::shared_ptr<const base::ErrorInfo> Collectives::run(const CollectiveCall& call) {
  Joined* joined = nullptr;
  bool may_spin = false;
  {
    Engine::Lock lock(engine_);
    joined = find(call.group);
    if (joined != nullptr && call.request.operation != Operation::kSendReceive) {
      if (joined->busy) {
        engine_.wait(
            lock, [&] { return !joined->busy; }, std::nullopt);
      }
      if (!joined->prepared && !joined->group.failure()) {
        joined->busy = true;
        prepare(lock, *joined);
        joined->busy = false;
      }
    }
    const bool shared = joined != nullptr && joined->board != nullptr && !joined->group.failure() &&
                        joined->board->can_run(call.request);
    if (!shared) joined = nullptr;
    if (shared) {
      joined->busy = true;
      may_spin = engine_.take_spin_token();
    }
  }
  if (joined == nullptr) return run_in_messages(call);
  InSharedMemory patience(*this, *joined, may_spin);
  const Board::Outcome outcome = joined->board->run(call.request, call.reduction, call.input, call.output, patience);
  Engine::Lock lock(engine_);
  joined->busy = false;
  ++joined->board_calls;
  engine_.notify();
  if (outcome == Board::Outcome::kDone) return nullptr;
  if (outcome == Board::Outcome::kMismatch) {
    const int other = joined->board->mismatched_with();
    const int self = joined->group.place().rank;
    joined->group.give_up("the calls do not fit each other: rank " + std::to_string(self) + " called " +
                              to_string(joined->board->signature_of(self)) + ", rank " + std::to_string(other) +
                              " called " + to_string(joined->board->signature_of(other)),
                          *joined);
  }
  return error_of(*joined, call.request.operation);
}

}  // namespace mobula::runtime

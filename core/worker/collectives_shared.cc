// Collectives in shared memory: how a group finds out that all its members are on one node, and how they wait there.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/os/current_cpu.h"
#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "core/worker/collectives.h"

namespace mobula::runtime {

using collective::Board;
using collective::GroupKey;
using collective::MessageHeader;
using collective::MessageKind;
using collective::Operation;

namespace {

constexpr int kMembersMax = 64;  // Each rank looks at every other's line.
// The object in the node's store that holds a member's block.
base::ObjectId block_id(const GroupKey& key, int rank) {
  base::ObjectId id;
  id.words = {0x636f'6c6cu, static_cast<std::uint32_t>(key.id >> 32), static_cast<std::uint32_t>(key.id),
              key.epoch,    static_cast<std::uint32_t>(rank),         0x626c'6f63u,
              0x6b00'0001u};
  return id;
}

// What members tell each other to find out where all are, and whether they can read each other's memory.
struct Whereabouts {
  base::NodeId node;
  std::uint32_t has_block = 0;
  std::int64_t pid = 0;
  std::uint64_t token_at = 0;  // An address where
  std::uint64_t token = 0;     // this is.
};
constexpr std::uint8_t kSeesBlocks = 1;
constexpr std::uint8_t kReaches = 2;
constexpr std::uint8_t kCopies = 4;

}  // namespace

// Waits as the engine does: at the pace of SpinPace, away from a core that it shares with whom it waits for, and asleep
// when it takes long; who publishes then wakes it by a message.
class Collectives::InSharedMemory final : public Board::Patience {
 public:
  InSharedMemory(Collectives& all, Joined& joined, bool may_spin) : all_(all), joined_(joined), may_spin_(may_spin) {}

  bool wait_more(std::uint64_t spins) override {
    if (spins == 0) {
      if (waited_ && !slept_) joined_.pace.found();
      waited_ = true;
      slept_ = false;
      joined_.board->runs_on(os::current_cpu());
      joined_.pace.begin(may_spin_);
      if (!joined_.board->awaited_shares_cpu()) {
        joined_.escape.apart();
      } else if (!joined_.escape.shared()) {
        ::sched_yield();  // Until it has run, polling finds nothing.
        return true;
      }
    }
    return joined_.pace.turn() != SpinPace::Turn::kSleep || sleep();
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
    slept_ = true;
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
    joined_.pace.begin(may_spin_);
    return !joined_.group.failure();
  }

  Collectives& all_;
  Joined& joined_;
  bool may_spin_;
  bool waited_ = false;
  bool slept_ = false;  // In the last wait.
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
  std::uint64_t token = os::random_id<base::WorkerId>().words[0] | std::uint64_t{1} << 32;
  Whereabouts mine{links_.self().node, 0, ::getpid(), reinterpret_cast<std::uint64_t>(&token), token};
  Board::Block* block = nullptr;
  if (place.size <= kMembersMax && options_.memory != Options::Memory::kNone) {
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
  std::unique_ptr<NodeReach> reach;
  std::uint8_t can = blocks.size() == size ? kSeesBlocks : 0;
  if (can != 0 && options_.memory == Options::Memory::kDirect) {
    std::vector<pid_t> pids;
    pids.reserve(size);
    for (const Whereabouts& member : all) pids.push_back(static_cast<pid_t>(member.pid));
    reach = std::make_unique<NodeReach>(store_.mapping(), pids);
    can |= kReaches;
    const auto readable = [&](int rank) {
      const Whereabouts& member = all[static_cast<std::size_t>(rank)];
      return rank == place.rank || reach->finds(rank, member.token_at, member.token);
    };
    bool all_readable = true;
    for (int rank = 0; rank < place.size; ++rank) all_readable = all_readable && readable(rank);
    if (all_readable) can |= kCopies;
  }
  std::vector<std::uint8_t> abilities(size);
  if (!exchange(lock, joined, &can, abilities.data(), 1)) return false;
  const auto all_can = [&](std::uint8_t what) {
    return std::ranges::all_of(abilities, [&](std::uint8_t a) { return (a & what) != 0; });
  };
  if (all_can(kSeesBlocks)) {
    if (!all_can(kReaches)) {
      reach.reset();
    } else if (all_can(kCopies)) {
      reach->allow_copies();
    }
    joined.views = std::move(views);
    joined.reach = std::move(reach);
    joined.board = std::make_unique<Board>(place, *block, std::move(blocks), joined.reach.get());
  } else if (block != nullptr) {
    store_.free(block_id(joined.group.key(), place.rank));
  }
  return true;
}

// The group has failed or is left: nobody of this process is in a call on its board.
void Collectives::leave_shared(Joined& joined) {
  if (joined.board == nullptr) return;
  joined.board.reset();
  joined.reach.reset();
  joined.views.clear();
  store_.free(block_id(joined.group.key(), joined.group.place().rank));
}

// A rank's memory is gone, so it has died or knows of a death; that comes to this process too, and says more.
void Collectives::await_failure(Engine::Lock& lock, Joined& joined) {
  joined.sleeps_for = {joined.board->unreadable()};
  watch();
  engine_.wait(
      lock, [&] { return joined.group.failure().has_value(); }, os::now() + options_.hang_limit);
  joined.sleeps_for.clear();
  if (joined.group.failure()) return;
  joined.group.give_up("the buffers of rank " + std::to_string(joined.board->unreadable()) +
                           " cannot be read: the memory that it called with is not there any more",
                       joined);
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
  if (outcome == Board::Outcome::kUnreadable) await_failure(lock, *joined);
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

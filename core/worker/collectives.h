#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collective/board.h"
#include "collective/choose.h"
#include "collective/group.h"
#include "core/worker/actor_directory.h"
#include "core/worker/collective_runtime.h"
#include "core/worker/core_escape.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"
#include "core/worker/node_reach.h"
#include "core/worker/raylet_link.h"
#include "core/worker/spin_pace.h"

namespace mobula::runtime {

// Drives the groups that this process is a member of: takes their messages to the other members' processes and back,
// tells them of deaths, and asks members that keep others waiting whether they are there.
//
// The functions below "under the engine's lock" are called so; those of CollectiveRuntime take it.
class Collectives final : public CollectiveRuntime {
 public:
  struct Options {
    base::Duration hang_limit = std::chrono::seconds(5);  // Without an answer a member is lost.
    base::Duration patience = std::chrono::seconds(600);  // For a member that answers but does not come to the call.
    collective::Table table;
    // Where all members are on one node: by messages all the same, in shared memory but for the members' buffers, or
    // reading those in place or through the kernel too.
    enum class Memory : std::uint8_t { kNone, kStaged, kDirect };
    Memory memory = Memory::kDirect;
  };
  struct Parts {
    Engine& engine;
    Links& links;
    ActorDirectory& directory;
    LocalStore& store;
    RayletLink& raylet;
  };
  // What the groups ask about the process around them, under the engine's lock.
  struct Self {
    std::function<std::string()> activity;       // What it is doing, for a member that waits for it.
    std::function<bool()> is_idle;               // No call runs or waits to run.
    std::function<base::ActorId()> actor;        // That it is.
    std::function<std::uint64_t()> incarnation;  // Of that.
  };
  Collectives(const Parts& parts, Self self, Options options)
      : engine_(parts.engine),
        links_(parts.links),
        directory_(parts.directory),
        store_(parts.store),
        raylet_(parts.raylet),
        self_(std::move(self)),
        options_(std::move(options)) {}

  std::uint64_t incarnation() override;
  void publish(std::uint64_t group, const std::vector<base::ActorId>& members) override;
  void join(const collective::GroupKey& key, int rank, const std::vector<base::ActorId>& members, Runs runs) override;
  void join_part(const collective::GroupKey& key, const collective::GroupKey& parent,
                 const std::vector<int>& ranks) override;
  std::shared_ptr<const base::ErrorInfo> run(const CollectiveCall& call) override;
  PendingCollective begin(const CollectiveCall& call) override;
  bool ended(const PendingCollective& pending) override;
  std::shared_ptr<const base::ErrorInfo> wait(const PendingCollective& pending) override;
  Recovered recover(const collective::GroupKey& group, collective::Place place, collective::Recovery how) override;

  // ---- under the engine's lock
  void on_message(Peer& from, const collective::MessageHeader& header, base::ConstBytes payload);
  void on_writable(Peer& peer);
  void on_peer_lost(Peer& peer);
  void on_actor_changed(const ActorState& actor);
  // A method of this process's actor has ended; `thrown`: what it has thrown, or empty.
  void on_call_ended(std::string thrown) { thrown_ = std::move(thrown); }

 private:
  // What may wait here for groups that this process has not joined yet.
  static constexpr std::size_t kUnjoinedBytesMax = 64u << 20;

  struct Member {
    std::shared_ptr<ActorState> actor;
    std::uint64_t incarnation_min = 0;  // Which runs may be the member,
    std::uint64_t incarnation_max = std::numeric_limits<std::uint64_t>::max();
    std::optional<std::uint64_t> incarnation;  // and the one that is, once it is known.
    Peer* peer = nullptr;
    base::Time heard{};        // Last, of a member that is being asked.
    base::Time asked_since{};  // Zero: it is not being asked.
    std::string activity;      // What it said last.
  };
  class Joined final : public collective::Wire {
   public:
    Joined(Collectives& all, const collective::GroupKey& key, collective::Place place)
        : all(all), group(key, place), members(static_cast<std::size_t>(place.size)) {}
    Member& member(int rank) { return members[static_cast<std::size_t>(rank)]; }
    bool send(int rank, const collective::MessageHeader& header, base::ConstBytes payload) override;

    Collectives& all;
    collective::Group group;
    std::vector<Member> members;
    base::Time waiting_since{};  // Of the oldest call; zero: nothing waits.
    std::uint64_t calls_ended = 0;
    std::uint32_t next_slot = 1;  // Of this epoch's log: behind what was read.

    // Calls in shared memory, where all members are on this node.
    bool prepared = false;  // It is known whether they are.
    bool busy = false;      // A thread is in such a call.
    bool woken = false;
    std::vector<View> views;  // Keep the blocks.
    std::unique_ptr<NodeReach> reach;
    std::unique_ptr<collective::Board> board;
    SpinPace pace;
    CoreEscape escape;
    std::vector<int> sleeps_for;
    std::uint64_t board_calls = 0;
    bool waits() const { return !sleeps_for.empty() || !group.idle(); }
    std::vector<int> waits_for() const { return sleeps_for.empty() ? group.waits_for() : sleeps_for; }
  };
  struct Unjoined {
    Peer* from;
    collective::MessageHeader header;
    base::Buffer payload;
  };

  class InSharedMemory;  // How a rank waits in a call on the board.
  class Log;             // Of a group's epochs, in the GCS.

  Joined* find(const collective::GroupKey& key);
  void enter(std::unique_ptr<Joined> joined);
  void meet(Joined& joined, int rank);
  void lose(Joined& joined, int rank, const std::string& why);
  void deliver(Joined& joined, Peer& from, const collective::MessageHeader& header, base::ConstBytes payload);
  void answer_ping(Peer& from, const collective::MessageHeader& header);
  bool prepare(Engine::Lock& lock, Joined& joined);
  bool exchange(Engine::Lock& lock, Joined& joined, const void* mine, void* all, std::size_t bytes);
  std::shared_ptr<const base::ErrorInfo> run_in_messages(const CollectiveCall& call);
  void leave_shared(Joined& joined);
  void await_failure(Engine::Lock& lock, Joined& joined);
  base::Result<std::vector<base::ActorId>> begin_recovery(Engine::Lock& lock, Log& log,
                                                          const collective::GroupKey& group,
                                                          collective::Succession::Start& start);
  bool come_together(Engine::Lock& lock, Joined& joined);
  Joined& try_epoch(const collective::GroupKey& key, const std::vector<base::ActorId>& actors,
                    const std::map<int, std::uint64_t>& incarnations);
  void end_hanging(Joined& joined, const std::map<int, std::uint64_t>& incarnations);
  collective::Succession::Losses losses_of(Joined& joined) const;
  Recovered go_on_as(Joined& joined);
  void watch();
  void look_after(Joined& joined, base::Time now);
  std::shared_ptr<const base::ErrorInfo> error_of(Joined& joined, collective::Operation operation) const;

  Engine& engine_;
  Links& links_;
  ActorDirectory& directory_;
  LocalStore& store_;
  RayletLink& raylet_;
  const Self self_;
  Options options_;
  std::map<collective::GroupKey, std::unique_ptr<Joined>> groups_;
  std::deque<Unjoined> unjoined_;
  std::size_t unjoined_bytes_ = 0;
  bool watching_ = false;
  std::string thrown_;  // By the last method that ended.
};

}  // namespace mobula::runtime

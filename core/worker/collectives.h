#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collective/board.h"
#include "collective/choose.h"
#include "collective/group.h"
#include "core/worker/actor_directory.h"
#include "core/worker/collective_runtime.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"

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
    bool shared_memory = true;  // Where all members are on one node.
  };
  Collectives(Engine& engine, Links& links, ActorDirectory& directory, LocalStore& store, Options options)
      : engine_(engine), links_(links), directory_(directory), store_(store), options_(std::move(options)) {}

  // What this process is doing, for a member that waits for it.
  void describe_with(std::function<std::string()> activity) { activity_ = std::move(activity); }

  void join(const collective::GroupKey& key, int rank, const std::vector<base::ActorId>& members) override;
  void join_part(const collective::GroupKey& key, const collective::GroupKey& parent,
                 const std::vector<int>& ranks) override;
  std::shared_ptr<const base::ErrorInfo> run(const CollectiveCall& call) override;
  PendingCollective begin(const CollectiveCall& call) override;
  bool ended(const PendingCollective& pending) override;
  std::shared_ptr<const base::ErrorInfo> wait(const PendingCollective& pending) override;

  // ---- under the engine's lock
  void on_message(Peer& from, const collective::MessageHeader& header, base::ConstBytes payload);
  void on_writable(Peer& peer);
  void on_peer_lost(Peer& peer);
  void on_actor_changed(const ActorState& actor);

 private:
  // What may wait here for groups that this process has not joined yet.
  static constexpr std::size_t kUnjoinedBytesMax = 64u << 20;

  struct Member {
    std::shared_ptr<ActorState> actor;
    std::uint64_t incarnation = 0;  // The run that is the member; 0: not known yet.
    Peer* peer = nullptr;
    base::Time heard{};        // Last, of a member that is being asked.
    base::Time asked_since{};  // Zero: it is not being asked.
    std::string activity;      // What it said last.
  };
  class Joined final : public collective::Wire {
   public:
    Joined(Collectives& all, const collective::GroupKey& key, collective::Place place)
        : all(all), group(key, place), members(static_cast<std::size_t>(place.size)) {}
    bool send(int rank, const collective::MessageHeader& header, base::ConstBytes payload) override;

    Collectives& all;
    collective::Group group;
    std::vector<Member> members;
    base::Time waiting_since{};  // Of the oldest call; zero: nothing waits.
    std::uint64_t calls_ended = 0;

    // Calls in shared memory, where all members are on this node.
    bool prepared = false;  // It is known whether they are.
    bool busy = false;      // A thread is in such a call.
    bool woken = false;
    std::vector<View> views;  // Keep the blocks.
    std::unique_ptr<collective::Board> board;
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

  Joined* find(const collective::GroupKey& key);
  void enter(std::unique_ptr<Joined> joined);
  void meet(Joined& joined, int rank);
  void deliver(Joined& joined, Peer& from, const collective::MessageHeader& header, base::ConstBytes payload);
  void answer_ping(Peer& from, const collective::MessageHeader& header);
  bool prepare(Engine::Lock& lock, Joined& joined);
  bool exchange(Engine::Lock& lock, Joined& joined, const void* mine, void* all, std::size_t bytes);
  std::shared_ptr<const base::ErrorInfo> run_in_messages(const CollectiveCall& call);
  void watch();
  void look_after(Joined& joined, base::Time now);
  std::shared_ptr<const base::ErrorInfo> error_of(Joined& joined, collective::Operation operation) const;

  Engine& engine_;
  Links& links_;
  ActorDirectory& directory_;
  LocalStore& store_;
  Options options_;
  std::function<std::string()> activity_;
  std::map<collective::GroupKey, std::unique_ptr<Joined>> groups_;
  std::deque<Unjoined> unjoined_;
  std::size_t unjoined_bytes_ = 0;
  bool watching_ = false;
};

}  // namespace mobula::runtime

#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collective/choose.h"
#include "collective/group.h"
#include "core/worker/actor_directory.h"
#include "core/worker/collective_runtime.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"

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
  };
  Collectives(Engine& engine, Links& links, ActorDirectory& directory, Options options)
      : engine_(engine), links_(links), directory_(directory), options_(std::move(options)) {}

  // What this process is doing, for a member that waits for it.
  void describe_with(std::function<std::string()> activity) { activity_ = std::move(activity); }

  void join(const collective::GroupKey& key, int rank, const std::vector<base::ActorId>& members) override;
  void join_part(const collective::GroupKey& key, const collective::GroupKey& parent,
                 const std::vector<int>& ranks) override;
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
  };
  struct Unjoined {
    Peer* from;
    collective::MessageHeader header;
    base::Buffer payload;
  };

  Joined* find(const collective::GroupKey& key);
  void enter(std::unique_ptr<Joined> joined);
  void meet(Joined& joined, int rank);
  void deliver(Joined& joined, Peer& from, const collective::MessageHeader& header, base::ConstBytes payload);
  void answer_ping(Peer& from, const collective::MessageHeader& header);
  void watch();
  void look_after(Joined& joined, base::Time now);
  std::shared_ptr<const base::ErrorInfo> error_of(Joined& joined, collective::Operation operation) const;

  Engine& engine_;
  Links& links_;
  ActorDirectory& directory_;
  Options options_;
  std::function<std::string()> activity_;
  std::map<collective::GroupKey, std::unique_ptr<Joined>> groups_;
  std::deque<Unjoined> unjoined_;
  std::size_t unjoined_bytes_ = 0;
  bool watching_ = false;
};

}  // namespace mobula::runtime

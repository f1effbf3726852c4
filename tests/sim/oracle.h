#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"

namespace mobula::sim {

// What must be true of a cluster, judged from outside: from what processes submit, run and hear, never from
// what a machine believes.  Keeps the first violations as sentences.
class Oracle {
 public:
  using Task = std::uint64_t;  // Unique over the whole run.

  // Tasks and their owners.
  void submitted(Task task, const base::WorkerId& owner);
  void ended(Task task);
  void owner_died(base::Time now, const base::WorkerId& owner);

  // What runs where.
  void node_up(const base::NodeId& node, base::Resources total);
  void node_down(const base::NodeId& node);
  void leased_anew(const base::WorkerId& worker);  // Its earlier waits are forgotten.
  void begins(base::Time now, const base::NodeId& node, const base::WorkerId& worker, const base::WorkerId& owner,
              const base::Resources& shape);
  void blocks(const base::WorkerId& worker);
  void unblocks(const base::WorkerId& worker);
  void stops_running(const base::WorkerId& worker);  // The task has ended, or the process.

  // Actors.
  void actor_begins(const base::ActorId& actor, const base::WorkerId& worker, std::uint32_t incarnation);
  void actor_stops(const base::WorkerId& worker);

  // Placement groups, as raylets reserve them: nobody may be inside before all bundles were there at one time.
  void group_asked(const base::PlacementGroupId& group, std::size_t bundles);
  void bundle_reserved(const base::PlacementGroupId& group, std::uint32_t index, const base::NodeId& node);
  void bundle_given_up(const base::PlacementGroupId& group, std::uint32_t index, const base::NodeId& node);
  void begins_in_bundle(const base::PlacementGroupId& group, std::int32_t index, const base::NodeId& node);
  std::uint64_t groups_completed() const { return groups_completed_; }

  // Once everything has healed and had its time.
  void check_no_wait_without_end();
  void check_no_orphan_runs(base::Time now);
  void require(bool condition, const std::string& what) {
    if (!condition) violation(what);
  }

  const std::vector<std::string>& violations() const { return violations_; }
  std::uint64_t tasks() const { return tasks_.size(); }
  std::uint64_t tasks_ended() const { return ended_; }

 private:
  struct Run {
    base::NodeId node;
    base::WorkerId owner;
    base::Resources shape;
    bool blocked = false;
  };
  struct Submitted {
    base::WorkerId owner;
    std::uint32_t ended = 0;
  };

  void violation(std::string what);
  void check_node(const base::NodeId& node);

  static constexpr std::size_t kViolationsMax = 10;
  static constexpr base::Duration kOrphanMax = std::chrono::seconds(12);

  std::map<Task, Submitted> tasks_;
  std::uint64_t ended_ = 0;
  std::map<base::WorkerId, base::Time> dead_owners_;
  std::map<base::NodeId, base::Resources> totals_;
  std::map<base::WorkerId, Run> running_;
  std::set<base::WorkerId> has_waited_;  // Their cpus may have been lent: they may run a node over.
  std::map<base::ActorId, std::pair<base::WorkerId, std::uint32_t>> actors_;
  std::map<base::WorkerId, base::ActorId> actor_of_;
  struct Reserved {
    std::size_t bundles = 0;
    std::map<std::uint32_t, base::NodeId> places;
    bool was_complete = false;
  };
  std::map<base::PlacementGroupId, Reserved> groups_;
  std::uint64_t groups_completed_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace mobula::sim

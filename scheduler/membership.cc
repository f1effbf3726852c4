#include "scheduler/membership.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/base/timers.h"

namespace mobula::scheduler {

MembershipMachine::MembershipMachine(MembershipLimits limits) : limits_(limits) {
  assert(limits.suspect_after < limits.dead_after && limits.nodes_max > 0);
}

void MembershipMachine::step(base::Time now, MembershipInput input, base::Outbox<MembershipOutput>& out) {
  forgive_blackout(now);
  const base::NodeId id = std::visit([](const auto& event) { return event.node; }, input);
  std::visit([&](auto&& event) { on(now, std::move(event), out); }, std::move(input));
  if (const auto it = nodes_.find(id); it != nodes_.end()) arm(it->second);
  tick(now, out);
}

void MembershipMachine::tick(base::Time now, base::Outbox<MembershipOutput>& out) {
  forgive_blackout(now);
  while (const auto id = timers_.pop_due(now)) {
    Node& node = nodes_.at(*id);
    check(now, node, out);
    arm(node);
  }
  forget_oldest_dead();
}

void MembershipMachine::check(base::Time now, Node& node, base::Outbox<MembershipOutput>& out) {
  const auto silence = now - node.heard_at;
  if (silence >= limits_.dead_after) {
    const auto ms = silence / std::chrono::milliseconds(1);
    set_state(now, node, NodeState::kDead, "no heartbeat for " + std::to_string(ms) + " ms", out);
  } else if (node.closed_at && *node.closed_at + limits_.reconnect_grace <= now) {
    set_state(now, node, NodeState::kDead, "its connection closed and it did not come back", out);
  } else if (silence >= limits_.suspect_after && node.view.state == NodeState::kAlive) {
    set_state(now, node, NodeState::kSuspect, "no heartbeat lately", out);
  } else if (node.publish_at && *node.publish_at <= now) {
    publish(now, node, out);
  }
}

std::optional<base::Time> MembershipMachine::next_deadline() const { return timers_.next(); }

void MembershipMachine::arm(const Node& node) {
  if (node.view.state == NodeState::kDead) return timers_.clear(node.view.node);
  const bool alive = node.view.state == NodeState::kAlive;
  base::Time next = node.heard_at + (alive ? limits_.suspect_after : limits_.dead_after);
  if (node.closed_at) next = std::min(next, *node.closed_at + limits_.reconnect_grace);
  if (node.publish_at) next = std::min(next, *node.publish_at);
  timers_.set(node.view.node, next);
}

std::vector<NodeChanged> MembershipMachine::changes_since(std::uint64_t version) const {
  std::vector<NodeChanged> changes;
  for (const auto& [id, node] : nodes_) {
    if (node.view.version > version) changes.push_back({node.view, node.incarnation, node.why});
  }
  std::sort(changes.begin(), changes.end(),
            [](const NodeChanged& a, const NodeChanged& b) { return a.view.version < b.view.version; });
  return changes;
}

const NodeView* MembershipMachine::find(const base::NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second.view;
}

void MembershipMachine::on(base::Time now, NodeRegistered&& e, base::Outbox<MembershipOutput>& out) {
  auto it = nodes_.find(e.node);
  if (it != nodes_.end() && e.incarnation == it->second.incarnation && it->second.view.state != NodeState::kDead) {
    Node& node = it->second;
    node.heard_at = now;
    node.closed_at.reset();
    node.view.address = std::move(e.address);
    out.emplace_back(NodeAccepted{e.node, e.incarnation});
    if (node.view.state == NodeState::kSuspect) return set_state(now, node, NodeState::kAlive, {}, out);
    return publish(now, node, out);
  }
  if (it != nodes_.end() && e.incarnation <= it->second.incarnation) {
    out.emplace_back(NodeFenced{e.node, e.incarnation, "this incarnation is over: " + it->second.why});
    return;
  }
  if (it != nodes_.end() && it->second.view.state != NodeState::kDead) {
    const std::uint64_t old = it->second.incarnation;
    set_state(now, it->second, NodeState::kDead, "a newer incarnation has come", out);
    out.emplace_back(NodeFenced{e.node, old, "a newer incarnation has come"});
  }
  if (it == nodes_.end() && nodes_.size() - dead_.size() >= limits_.nodes_max) {
    out.emplace_back(NodeFenced{e.node, e.incarnation,
                                "the cluster has " + std::to_string(limits_.nodes_max) + " nodes, its limit"});
    return;
  }
  if (it != nodes_.end()) dead_.erase(it->second.view.version);
  Node node;
  node.view = {e.node, 0, NodeState::kAlive, std::move(e.address), e.total, e.total, std::move(e.labels)};
  node.incarnation = e.incarnation;
  node.heard_at = now;
  Node& kept = nodes_[e.node] = std::move(node);
  out.emplace_back(NodeAccepted{e.node, e.incarnation});
  publish(now, kept, out);
}

void MembershipMachine::on(base::Time now, NodeHeartbeat&& e, base::Outbox<MembershipOutput>& out) {
  const auto it = nodes_.find(e.node);
  if (it == nodes_.end() || it->second.incarnation != e.incarnation || it->second.view.state == NodeState::kDead) {
    const bool late = it != nodes_.end() && e.incarnation <= it->second.incarnation;
    out.emplace_back(NodeFenced{e.node, e.incarnation,
                                late ? "this incarnation is over: " + it->second.why : "it is not registered"});
    return;
  }
  Node& node = it->second;
  node.heard_at = now;
  if (e.version > node.heard_version) {
    node.heard_version = e.version;
    if (node.view.available != e.available) {
      node.view.available = std::move(e.available);
      if (!node.publish_at) node.publish_at = std::max(now, node.published_at + limits_.publish_every);
    }
  }
  if (node.view.state == NodeState::kSuspect) set_state(now, node, NodeState::kAlive, {}, out);
}

void MembershipMachine::on(base::Time now, NodeConnectionClosed&& e, base::Outbox<MembershipOutput>&) {
  const auto it = nodes_.find(e.node);
  if (it == nodes_.end() || it->second.incarnation != e.incarnation) return;
  if (!it->second.closed_at) it->second.closed_at = now;
}

void MembershipMachine::on(base::Time now, NodeExited&& e, base::Outbox<MembershipOutput>& out) {
  const auto it = nodes_.find(e.node);
  if (it == nodes_.end() || it->second.incarnation != e.incarnation) return;
  if (it->second.view.state != NodeState::kDead) set_state(now, it->second, NodeState::kDead, std::move(e.why), out);
}

void MembershipMachine::on(base::Time now, NodeLabelled&& e, base::Outbox<MembershipOutput>& out) {
  const auto it = nodes_.find(e.node);
  if (it == nodes_.end() || it->second.view.state == NodeState::kDead || it->second.view.actors == e.actors) return;
  it->second.view.actors = std::move(e.actors);
  publish(now, it->second, out);
}

// When we were stopped or cut off ourselves, nobody's heartbeat could have come.
void MembershipMachine::forgive_blackout(base::Time now) {
  const auto gap = now - ran_at_;
  const bool ours =
      ran_at_ != base::Time{} && gap > limits_.blackout && next_deadline() && now > *next_deadline() + limits_.blackout;
  ran_at_ = now;
  if (!ours) return;
  for (auto& [id, node] : nodes_) {
    node.heard_at += gap;
    if (node.closed_at) *node.closed_at += gap;
    arm(node);
  }
}

void MembershipMachine::set_state(base::Time now, Node& node, NodeState state, std::string why,
                                  base::Outbox<MembershipOutput>& out) {
  node.view.state = state;
  node.why = std::move(why);
  publish(now, node, out);
  if (state == NodeState::kDead) dead_.emplace(node.view.version, node.view.node);
}

void MembershipMachine::publish(base::Time now, Node& node, base::Outbox<MembershipOutput>& out) {
  node.view.version = ++version_;
  node.publish_at.reset();
  node.published_at = now;
  out.emplace_back(NodeChanged{node.view, node.incarnation, node.why});
}

void MembershipMachine::forget_oldest_dead() {
  while (dead_.size() > limits_.dead_max) {
    nodes_.erase(dead_.begin()->second);
    dead_.erase(dead_.begin());
  }
}

bool MembershipMachine::is_valid() const {
  std::size_t dead = 0;
  for (const auto& [id, node] : nodes_) {
    if (node.view.node != id || node.view.version > version_) return false;
    const bool is_dead = node.view.state == NodeState::kDead;
    dead += is_dead;
    if (is_dead != dead_.contains(node.view.version)) return false;
  }
  return timers_.size() + dead == nodes_.size() && dead == dead_.size() && dead <= limits_.dead_max &&
         nodes_.size() - dead <= limits_.nodes_max;
}

}  // namespace mobula::scheduler

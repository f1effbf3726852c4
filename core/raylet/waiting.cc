// What waits on this node, what for, and who holds what: for `mobula why` and for those who could start more nodes.
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/cluster/convert.h"
#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

using nlohmann::json;

constexpr std::size_t kWaitsShown = 100;
constexpr int kShapesTold = 32;  // In a heartbeat.

json amounts(const base::Resources& resources) {
  json out = json::object();
  for (const auto& [name, amount] : resources.all()) out[name] = amount.value();
  return out;
}

}  // namespace

std::string Node::who(const base::WorkerId& owner) const {
  const Client* client = clients_.find(owner);
  if (client == nullptr) return "process " + owner.short_hex() + " of another node";
  const bool driver = client->kind == proto::Register::DRIVER;
  return (driver ? "driver " : "worker ") + std::to_string(client->pid) + " on " + options_.name;
}

std::string Node::waiting_json() const {
  json out = json::array();
  const base::Time now = os::now();
  for (const auto& wait : leases_->machine().waits(now)) {
    if (out.size() == kWaitsShown) break;
    out.push_back({{"function", wait.function.empty() ? "tasks" : wait.function},
                   {"owner", who(wait.owner)},
                   {"job", wait.job.short_hex()},
                   {"resources", amounts(wait.shape)},
                   {"shape", wait.shape.to_string()},
                   {"priority", wait.priority},
                   {"count", wait.slots},
                   {"waited_ms", (now - wait.since) / std::chrono::milliseconds(1)},
                   {"why", wait.why.missing},
                   {"nearest", wait.why.nearest ? node_name(*wait.why.nearest) : std::string()}});
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Leases alike are one line.
std::string Node::held_json() const {
  struct Held {
    base::Resources resources;
    std::size_t count = 0, blocked = 0;
  };
  std::map<std::string, Held> by;
  using Kind = scheduler::SeatBook::Holder::Kind;
  for (const auto& [lease, seat] : leases_->machine().seats().seats()) {
    std::string holder;
    if (seat.holder.kind == Kind::kGcs) {
      holder = "actor " + seat.holder.actor.short_hex();
      const auto actor = actors_->actors().find(seat.worker);
      if (actor != actors_->actors().end())
        holder = "actor " + actor->second.class_name + " " + seat.holder.actor.short_hex();
    } else {
      holder =
          (seat.holder.function.empty() ? "tasks" : "tasks " + seat.holder.function) + " of " + who(seat.holder.owner);
    }
    Held& held = by[holder];
    ++held.count;
    held.blocked += seat.blocked;
    held.resources.add(scheduler::SeatBook::held(seat));
  }
  json out = json::array();
  for (const auto& [holder, held] : by) {
    out.push_back(
        {{"by", holder}, {"count", held.count}, {"blocked", held.blocked}, {"resources", amounts(held.resources)}});
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

void Node::describe_waiting(proto::Heartbeat& beat) const {
  beat.clear_waiting();
  std::map<base::Resources, std::uint32_t> shapes;
  for (const auto& wait : leases_->machine().waits(os::now())) shapes[wait.shape] += wait.slots;
  for (const auto& [shape, count] : shapes) {
    if (beat.waiting_size() == kShapesTold) break;
    proto::WaitingShape& told = *beat.add_waiting();
    *told.mutable_shape() = cluster::to_proto(shape);
    told.set_count(count);
  }
  beat.set_leases(static_cast<std::uint32_t>(leases_->machine().counts().leases));
}

}  // namespace mobula::raylet

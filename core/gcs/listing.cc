#include "core/gcs/listing.h"

#include <nlohmann/json.hpp>

#include "core/base/error_info.h"
#include "core/cluster/convert.h"
#include "core/cluster/topology_json.h"

namespace mobula::gcs {
namespace {

using base::Amount;
using cluster::to_id;
using nlohmann::json;

json amounts(const proto::ResourceSet& set) {
  json out = json::object();
  for (const auto& [name, units] : set.units()) out[name] = Amount{units}.value();
  return out;
}

json node_row(const proto::NodeInfo& node) {
  static constexpr const char* kStates[] = {"ALIVE", "SUSPECT", "DEAD"};
  return {{"id", to_id<base::NodeId>(node.node_id()).hex()},
          {"name", node.name()},
          {"host", node.host()},
          {"pid", node.pid()},
          {"state", kStates[node.state() % 3]},
          {"incarnation", node.incarnation()},
          {"total", amounts(node.total())},
          {"available", amounts(node.available())},
          {"labels", std::map<std::string, std::string>(node.labels().begin(), node.labels().end())},
          {"workers", node.workers()},
          {"store_bytes_used", node.store_bytes_used()},
          {"store_bytes_total", node.store_bytes_total()},
          {"address", node.control_unix()},
          {"tcp_address", node.control_tcp()},
          {"why", node.why_dead()}};
}

json amounts(const base::Resources& resources) {
  json out = json::object();
  for (const auto& [name, amount] : resources.all()) out[name] = amount.value();
  return out;
}

json group_row(const scheduler::GroupView& group, const std::map<base::NodeId, std::string>& node_names) {
  static constexpr const char* kStates[] = {"", "PENDING", "CREATED", "RESCHEDULING", "REMOVED", "INFEASIBLE"};
  json bundles = json::array();
  for (std::uint32_t i = 0; i < group.wish.bundles.size(); ++i) {
    bundles.push_back({{"bundle", i}, {"resources", amounts(group.wish.bundles[i])}});
  }
  std::string places;
  for (const scheduler::PlacedBundle& b : group.placed) {
    const auto name = node_names.find(b.node);
    const std::string node = name == node_names.end() ? b.node.short_hex() : name->second;
    json& row = bundles[b.bundle];
    row["node"] = node;
    row["pus"] = b.pieces.pus.to_string();
    row["gpus"] = b.pieces.gpus;
    if (b.pieces.nic) row["nic"] = *b.pieces.nic;
    places += (places.empty() ? "" : " ") + std::to_string(b.bundle) + "@" + node;
    if (!b.pieces.pus.empty()) places += ":" + b.pieces.pus.to_string();
  }
  return {{"id", group.group.hex()},
          {"name", group.name},
          {"namespace", group.ns},
          {"state", kStates[static_cast<int>(group.state) % 6]},
          {"strategy", scheduler::name_of(group.wish.strategy)},
          {"level", group.wish.level.to_string()},
          {"job", group.job.short_hex()},
          {"detached", group.lifetime == scheduler::ActorLifetime::kDetached},
          {"bundles", std::move(bundles)},
          {"places", places},
          {"why", group.why}};
}

// What each node that lives is made of, and a drawing of it.
json topologies(const proto::ClusterView& view, const NodeTable& table) {
  json out = json::array();
  for (const auto& node : view.nodes()) {
    const base::Topology* topology = table.topology(to_id<base::NodeId>(node.node_id()));
    if (topology == nullptr || node.state() == proto::NodeInfo::DEAD) continue;
    out.push_back({{"id", to_id<base::NodeId>(node.node_id()).hex()},
                   {"name", node.name()},
                   {"host", node.host()},
                   {"labels", std::map<std::string, std::string>(node.labels().begin(), node.labels().end())},
                   {"topology", cluster::topology_json(*topology)},
                   {"drawing", topology->draw()}});
  }
  return out;
}

json actor_row(const proto::ActorInfo& actor) {
  static constexpr const char* kStates[] = {"UNKNOWN", "PENDING", "ALIVE", "RESTARTING", "DEAD"};
  json row = {{"id", to_id<base::ActorId>(actor.actor_id()).hex()},
              {"class", actor.class_name()},
              {"name", actor.name()},
              {"namespace", actor.ns()},
              {"state", kStates[actor.state() % 5]},
              {"restarts", actor.restarts()},
              {"job", to_id<base::JobId>(actor.job_id()).short_hex()},
              {"pid", actor.address().pid()},
              {"node", to_id<base::NodeId>(actor.address().node_id()).short_hex()}};
  if (const auto error = base::decode_error_info(base::as_bytes(actor.error()))) row["why"] = error->what;
  return row;
}

json job_row(const proto::JobInfo& job) {
  static constexpr const char* kStates[] = {"RUNNING", "SUCCEEDED", "FAILED", "KILLED"};
  return {{"id", to_id<base::JobId>(job.job_id()).hex()},
          {"name", job.name()},
          {"exe", job.exe()},
          {"build_id", job.build_id()},
          {"pid", job.driver().pid()},
          {"state", kStates[job.state() % 4]},
          {"started_unix_ms", job.started_unix_ms()}};
}

// What waits for room: tasks by shape as the nodes told them last, actors, and placement groups.
json waiting(const proto::ClusterView& view, const NodeTable& node_table, const ActorTable& actor_table,
             const GroupTable& group_table, const std::map<base::NodeId, std::string>& names) {
  const auto name_of = [&](const std::optional<base::NodeId>& node) {
    if (!node) return std::string();
    const auto it = names.find(*node);
    return it == names.end() ? node->short_hex() : it->second;
  };
  std::map<std::string, std::pair<json, std::uint64_t>> shapes;
  json nodes = json::array();
  for (const auto& node : view.nodes()) {
    const proto::Heartbeat* beat = node_table.last_beat(to_id<base::NodeId>(node.node_id()));
    if (beat == nullptr || node.state() == proto::NodeInfo::DEAD) continue;
    nodes.push_back({{"name", node.name()},
                     {"host", node.host()},
                     {"leases", beat->leases()},
                     {"total", amounts(node.total())},
                     {"labels", std::map<std::string, std::string>(node.labels().begin(), node.labels().end())}});
    for (const auto& told : beat->waiting()) {
      json shape = amounts(told.shape());
      auto& [kept, count] = shapes[shape.dump()];
      kept = std::move(shape);
      count += told.count();
    }
  }
  json tasks = json::array();
  for (auto& [text, shape] : shapes) tasks.push_back({{"resources", shape.first}, {"count", shape.second}});
  json actors = json::array();
  actor_table.each([&](const proto::ActorInfo& actor) {
    const auto wait = actor_table.wait_of(to_id<base::ActorId>(actor.actor_id()));
    if (!wait) return;
    json row = actor_row(actor);
    row["resources"] = amounts(wait->shape);
    row["shape"] = wait->shape.to_string();
    row["why"] = wait->what;
    row["nearest"] = name_of(wait->nearest);
    actors.push_back(std::move(row));
  });
  json groups = json::array();
  group_table.each([&](const scheduler::GroupView& group) {
    if (group.is_over() || group.state == scheduler::GroupState::kCreated) return;
    json row = group_row(group, names);
    row["nearest"] = name_of(group.nearest);
    groups.push_back(std::move(row));
  });
  return {{"tasks", std::move(tasks)},
          {"actors", std::move(actors)},
          {"groups", std::move(groups)},
          {"nodes", std::move(nodes)}};
}

json status(const std::string& cluster, const json& nodes, const json& actors, const json& jobs) {
  json total = json::object();
  json available = json::object();
  std::size_t alive = 0;
  for (const auto& node : nodes) {
    if (node["state"] == "DEAD") continue;
    ++alive;
    for (const auto& [name, amount] : node["total"].items())
      total[name] = total.value(name, 0.0) + amount.get<double>();
    for (const auto& [name, amount] : node["available"].items()) {
      available[name] = available.value(name, 0.0) + amount.get<double>();
    }
  }
  return {{"cluster", cluster}, {"nodes_alive", alive}, {"total", total}, {"available", available},
          {"nodes", nodes},     {"actors", actors},     {"jobs", jobs}};
}

}  // namespace

std::string list_json(const std::string& what, const std::string& cluster, const NodeTable& node_table,
                      const ActorTable& actor_table, const GroupTable& group_table, const JobTable& job_table) {
  json nodes = json::array();
  json actors = json::array();
  json jobs = json::array();
  const proto::ClusterView view = node_table.view(0);
  for (const auto& node : view.nodes()) nodes.push_back(node_row(node));
  std::map<base::NodeId, std::string> names;
  for (const auto& node : view.nodes()) names[to_id<base::NodeId>(node.node_id())] = node.name();
  if (what == "waiting") {
    return waiting(view, node_table, actor_table, group_table, names)
        .dump(-1, ' ', false, json::error_handler_t::replace);
  }
  if (what == "placement-groups") {
    json groups = json::array();
    group_table.each([&](const scheduler::GroupView& group) { groups.push_back(group_row(group, names)); });
    return groups.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  if (what == "topology") return topologies(view, node_table).dump(-1, ' ', false, json::error_handler_t::replace);
  if (what == "nodes") return nodes.dump(-1, ' ', false, json::error_handler_t::replace);
  actor_table.each([&actors](const proto::ActorInfo& actor) { actors.push_back(actor_row(actor)); });
  if (what == "actors") return actors.dump(-1, ' ', false, json::error_handler_t::replace);
  job_table.each([&jobs](const proto::JobInfo& job) { jobs.push_back(job_row(job)); });
  if (what == "jobs") return jobs.dump(-1, ' ', false, json::error_handler_t::replace);
  if (what != "status") return {};
  json all = status(cluster, nodes, actors, jobs);
  all["waiting"] = waiting(view, node_table, actor_table, group_table, names);
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace mobula::gcs

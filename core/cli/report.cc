// status, list and config: commands that look.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "collective/choose.h"
#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/settings_load.h"

namespace mobula::cli {
namespace {

using base::Error;
using base::Result;
using nlohmann::json;

std::string cell(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  if (value.is_object()) {
    std::string out;
    for (const auto& [name, amount] : value.items()) out += (out.empty() ? "" : " ") + name + "=" + cell(amount);
    return out;
  }
  if (value.is_number_float() && value.get<double>() == static_cast<double>(value.get<std::int64_t>())) {
    return std::to_string(value.get<std::int64_t>());
  }
  return value.dump();
}

// Columns as wide as their widest cell.
void print_table(const json& rows, const std::vector<std::pair<const char*, const char*>>& columns) {
  std::vector<std::vector<std::string>> cells(1);
  for (const auto& [title, key] : columns) cells[0].emplace_back(title);
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (const auto& [title, key] : columns) {
      std::string text = cell(row.value(key, json()));
      if (std::string(key) == "id") text = text.substr(0, 12);
      line.push_back(std::move(text));
    }
  }
  std::vector<std::size_t> widths(columns.size());
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (const auto& line : cells) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      out += line[i];
      if (i + 1 < line.size()) out += std::string(widths[i] - line[i].size() + 2, ' ');
    }
    std::printf("%s\n", out.c_str());
  }
}

void print_waiting(const json& waiting) {
  const json tasks = waiting.value("tasks", json::array());
  const json actors = waiting.value("actors", json::array());
  const json groups = waiting.value("groups", json::array());
  if (tasks.empty() && actors.empty() && groups.empty()) return;
  std::printf("\nwaiting for room (`mobula why` says more):\n");
  for (const auto& row : tasks) {
    std::printf("  %s workers with %s for tasks\n", cell(row["count"]).c_str(), cell(row["resources"]).c_str());
  }
  for (const auto& row : actors) {
    std::printf("  actor %s %s: %s\n", cell(row["class"]).c_str(), cell(row["name"]).c_str(), cell(row["why"]).c_str());
  }
  for (const auto& row : groups) {
    std::printf("  placement group %s: %s\n", cell(row["name"]).c_str(), cell(row["why"]).c_str());
  }
}

const std::vector<std::pair<const char*, const char*>> kNodeColumns{
    {"NODE", "name"},       {"STATE", "state"},         {"HOST", "host"}, {"PID", "pid"},
    {"WORKERS", "workers"}, {"AVAILABLE", "available"}, {"OF", "total"}};

// Of all nodes together: averages over the time that each saw it, and the most memory of any worker.
json sum_uses(const json& rows) {
  std::map<std::string, json> by_what;
  for (const auto& row : rows) {
    json& sum = by_what[row["what"]];
    const double seconds = row["seconds"];
    if (sum.is_null())
      sum = {{"what", row["what"]}, {"seconds", 0.0},    {"asked_cpus", 0.0},
             {"used_cpus", 0.0},    {"asked_memory", 0}, {"most_memory", 0}};
    const double all = sum["seconds"].get<double>() + seconds;
    for (const char* key : {"asked_cpus", "used_cpus"}) {
      sum[key] = all <= 0
                     ? 0
                     : (sum[key].get<double>() * sum["seconds"].get<double>() + row[key].get<double>() * seconds) / all;
    }
    sum["seconds"] = all;
    for (const char* key : {"asked_memory", "most_memory"}) {
      sum[key] = std::max(sum[key].get<std::uint64_t>(), row[key].get<std::uint64_t>());
    }
  }
  json out = json::array();
  for (auto& [what, sum] : by_what) {
    for (const char* key : {"asked_cpus", "used_cpus", "seconds"})
      sum[key] = std::round(sum[key].get<double>() * 100) / 100;
    sum["asked_mib"] = sum["asked_memory"].get<std::uint64_t>() >> 20;
    sum["most_mib"] = sum["most_memory"].get<std::uint64_t>() >> 20;
    out.push_back(std::move(sum));
  }
  return out;
}

// What each raylet alone knows: its "workers", or their "use".
json told_by_nodes(ToolLink& link, const json& nodes, const char* what) {
  json out = json::array();
  for (const auto& node : nodes) {
    if (node.value("state", "") == "DEAD") continue;
    const auto text = link.node_status(node_of_hex(node.value("id", "")));
    const json status = text ? json::parse(*text, nullptr, false) : json();
    if (!status.is_object()) {
      std::fprintf(stderr, "mobula: node %s: %s\n", node.value("name", "").c_str(),
                   text ? "its answer is malformed" : text.error().what.c_str());
      continue;
    }
    for (const auto& row : status[what]) out.push_back(row);
  }
  return out;
}

Result<json> fetch(const std::string& what, const std::string& cluster) {
  const auto session = find_session(cluster);
  if (!session) return session.error();
  auto link = ToolLink::open(*session);
  if (!link) return link.error();
  const auto text = (*link)->list(what == "workers" || what == "use" ? "nodes" : what);
  if (!text) return text.error();
  json rows = json::parse(*text, nullptr, false);
  if (what == "status" && rows.is_object()) {  // What no other node knows: refused connections, counters, the store.
    const auto own = (*link)->node_status();
    rows["this_node"] = own ? json::parse(*own, nullptr, false) : json();
  }
  if (what == "use") return sum_uses(told_by_nodes(**link, rows, "use"));
  return what == "workers" ? told_by_nodes(**link, rows, "workers") : rows;
}

}  // namespace

int status(const std::string& cluster, Format format) {
  const auto found = fetch("status", cluster);
  if (!found) return complain(found.error().what);
  if (format == Format::kJson) return std::printf("%s\n", found->dump().c_str()), 0;
  std::printf("cluster %s: %s nodes, %s of %s\n\n", cell((*found)["cluster"]).c_str(),
              cell((*found)["nodes_alive"]).c_str(), cell((*found)["available"]).c_str(),
              cell((*found)["total"]).c_str());
  print_table((*found)["nodes"], kNodeColumns);
  std::size_t running = 0;
  for (const auto& job : (*found)["jobs"]) running += job["state"] == "RUNNING" ? 1 : 0;
  std::map<std::string, std::size_t> actors;
  for (const auto& actor : (*found)["actors"]) ++actors[cell(actor["state"])];
  std::printf("\n%zu jobs run; actors:", running);
  for (const auto& [state, count] : actors) std::printf(" %zu %s", count, state.c_str());
  std::printf("%s\n", actors.empty() ? " none" : "");
  print_waiting(found->value("waiting", json::object()));
  return 0;
}

int list(const std::string& what, const std::string& cluster, Format format, Columns columns) {
  const auto rows = fetch(what, cluster);
  if (!rows) return complain(rows.error().what);
  if (format == Format::kJson) return std::printf("%s\n", rows->dump().c_str()), 0;
  if (what == "workers" && columns == Columns::kTopology) {
    print_table(*rows, {{"WORKER", "id"},
                        {"PID", "pid"},
                        {"NODE", "node"},
                        {"IS", "state"},
                        {"RUNS ON", "pus"},
                        {"BOUND TO", "bound_to"},
                        {"GPUS", "gpus"}});
  } else if (what == "nodes") {
    print_table(*rows, kNodeColumns);
  } else if (what == "placement-groups") {
    print_table(*rows, {{"GROUP", "id"},
                        {"NAME", "name"},
                        {"STATE", "state"},
                        {"STRATEGY", "strategy"},
                        {"LEVEL", "level"},
                        {"BUNDLES", "places"},
                        {"WHY", "why"}});
  } else if (what == "actors") {
    print_table(*rows, {{"ACTOR", "id"},
                        {"CLASS", "class"},
                        {"NAME", "name"},
                        {"STATE", "state"},
                        {"PID", "pid"},
                        {"RESTARTS", "restarts"},
                        {"WHY", "why"}});
  } else if (what == "use") {
    print_table(*rows, {{"WHAT", "what"},
                        {"WORKER SECONDS", "seconds"},
                        {"CPUS ASKED", "asked_cpus"},
                        {"CPUS USED", "used_cpus"},
                        {"MIB ASKED", "asked_mib"},
                        {"MIB AT MOST", "most_mib"}});
  } else if (what == "jobs") {
    print_table(*rows, {{"JOB", "id"}, {"NAME", "name"}, {"STATE", "state"}, {"PID", "pid"}, {"PROGRAM", "exe"}});
  } else {
    print_table(*rows, {{"WORKER", "id"},
                        {"STATE", "state"},
                        {"PID", "pid"},
                        {"NODE", "node"},
                        {"JOB", "job"},
                        {"CLASS", "class"},
                        {"NAME", "name"}});
  }
  return 0;
}

int config(const std::string& topic, Format format) {
  if (topic == "collectives") {
    collective::Table table;
    const char* rules = std::getenv("MOBULA_COLLECTIVES");
    if (const auto set = table.override_with(rules != nullptr ? rules : ""); !set) return complain(set.error().what);
    if (format == Format::kJson) return std::printf("%s\n", json(table.to_string()).dump().c_str()), 0;
    return std::printf("%s", table.to_string().c_str()), 0;
  }
  const auto settings = cluster::load_settings();
  if (!settings) return complain(settings.error().what);
  json rows = json::array();
  for (const auto& info : base::all_settings()) {
    const auto& value = settings->at(info.key);
    const std::string source =
        value.where.empty() ? name_of(value.source) : std::string(name_of(value.source)) + " " + value.where;
    rows.push_back({{"key", info.key},
                    {"value", value.text},
                    {"source", source},
                    {"default", info.default_value},
                    {"doc", info.doc}});
  }
  if (format == Format::kJson) return std::printf("%s\n", rows.dump().c_str()), 0;
  print_table(rows, {{"KEY", "key"}, {"VALUE", "value"}, {"SOURCE", "source"}, {"MEANING", "doc"}});
  return 0;
}

}  // namespace mobula::cli

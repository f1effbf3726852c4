// Why work waits: what is short, who holds it, and which node is nearest.
#include <cstdio>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"

namespace mobula::cli {
namespace {

using base::Result;
using nlohmann::json;

std::string text(const json& row, const char* key) { return row.value(key, std::string()); }

std::string amounts(const json& resources) {
  std::string out;
  for (const auto& [name, amount] : resources.items()) {
    char number[32];
    const bool bytes = name == "memory";
    std::snprintf(number, sizeof number, bytes ? "%.1f GiB" : "%.10g",
                  bytes ? amount.get<double>() / (1 << 30) : amount.get<double>());
    out += (out.empty() ? "" : " ") + name + "=" + number;
  }
  return out.empty() ? "nothing" : out;
}

bool means(const json& row, const std::string& what) {
  if (what.empty()) return true;
  const std::string id = text(row, "id");
  if (what.size() >= 4 && id.compare(0, what.size(), what) == 0) return true;
  return text(row, "name") == what || text(row, "class") == what ||
         text(row, "function").find(what) != std::string::npos;
}

// What each node says of itself, by name.
Result<std::map<std::string, json>> ask_nodes(ToolLink& link) {
  const auto listed = link.list("nodes");
  if (!listed) return listed.error();
  std::map<std::string, json> out;
  const json nodes = json::parse(*listed, nullptr, false);
  for (const auto& node : nodes) {
    if (text(node, "state") == "DEAD") continue;
    const auto status = link.node_status(node_of_hex(text(node, "id")));
    json said = status ? json::parse(*status, nullptr, false) : json();
    if (!said.is_object()) {
      std::fprintf(stderr, "mobula: node %s does not answer: %s\n", text(node, "name").c_str(),
                   status ? "its answer is malformed" : status.error().what.c_str());
      continue;
    }
    said["total_amounts"] = node["total"];
    said["available_amounts"] = node["available"];
    out[text(node, "name")] = std::move(said);
  }
  return out;
}

// Of what a node's leases hold, that which is wanted.
json holders(const json& node, const json& wanted) {
  json out = json::array();
  for (const auto& held : node.value("held", json::array())) {
    bool competes = false;
    for (const auto& [name, amount] : wanted.items()) competes = competes || held["resources"].contains(name);
    if (competes) out.push_back(held);
  }
  return out;
}

// A row of what waits, completed by what its nearest node says.
void add_holders(json& row, const std::map<std::string, json>& nodes) {
  const auto nearest = nodes.find(text(row, "nearest"));
  if (nearest == nodes.end()) return;
  row["nearest_total"] = nearest->second["total_amounts"];
  row["nearest_available"] = nearest->second["available_amounts"];
  json wanted = row.value("resources", json::object());
  if (row.contains("bundles")) {
    for (const auto& bundle : row["bundles"]) wanted.update(bundle["resources"]);
  }
  row["held_by"] = holders(nearest->second, wanted);
}

void print_reason(const json& row) {
  std::printf("  short of: %s\n", text(row, "why").empty() ? "nothing that is known" : text(row, "why").c_str());
  if (!text(row, "nearest").empty()) {
    std::printf("  nearest node: %s, which has %s free of %s\n", text(row, "nearest").c_str(),
                amounts(row.value("nearest_available", json::object())).c_str(),
                amounts(row.value("nearest_total", json::object())).c_str());
  }
  for (const auto& held : row.value("held_by", json::array())) {
    const auto count = held.value("count", 0);
    std::printf("  held there: %s by %s%s\n", amounts(held["resources"]).c_str(), text(held, "by").c_str(),
                count > 1 ? (" (" + std::to_string(count) + " leases)").c_str() : "");
  }
}

std::string title(const json& row) {
  return text(row, "name").empty() ? text(row, "id").substr(0, 12) : text(row, "name");
}

void print(const json& found) {
  for (const auto& row : found["tasks"]) {
    std::printf(
        "task %s: %d of %s wait for a worker with %s, for %.1f s%s\n", text(row, "function").c_str(),
        row.value("count", 0), text(row, "owner").c_str(), text(row, "shape").c_str(),
        row.value("waited_ms", 0.0) / 1000,
        row.value("priority", 0) != 0 ? (", priority " + std::to_string(row.value("priority", 0))).c_str() : "");
    print_reason(row);
  }
  for (const auto& row : found["actors"]) {
    std::printf("actor %s %s is %s and wants %s\n", text(row, "class").c_str(), title(row).c_str(),
                text(row, "state").c_str(), text(row, "shape").c_str());
    print_reason(row);
  }
  for (const auto& row : found["groups"]) {
    std::printf("placement group %s is %s (%s, %zu bundles at %s level)\n", title(row).c_str(),
                text(row, "state").c_str(), text(row, "strategy").c_str(), row["bundles"].size(),
                text(row, "level").c_str());
    print_reason(row);
  }
}

// What is known of something that waits for nothing.
std::string state_of(ToolLink& link, const std::string& what) {
  for (const char* list : {"actors", "placement-groups"}) {
    const auto listed = link.list(list);
    const json rows = listed ? json::parse(*listed, nullptr, false) : json::array();
    for (const auto& row : rows) {
      if (!means(row, what)) continue;
      const std::string kind = list == std::string("actors") ? "actor " + text(row, "class") + " " : "placement group ";
      const std::string reason = text(row, "why");
      return kind + title(row) + " is " + text(row, "state") + (reason.empty() ? "" : ": " + reason);
    }
  }
  return {};
}

Result<json> find(ToolLink& link, const std::string& what) {
  const auto listed = link.list("waiting");
  if (!listed) return listed.error();
  const json all = json::parse(*listed, nullptr, false);
  auto nodes = ask_nodes(link);
  if (!nodes) return nodes.error();
  json found = {{"tasks", json::array()}, {"actors", json::array()}, {"groups", json::array()}};
  const auto take = [&](const char* kind, json row) {
    if (!means(row, what)) return;
    add_holders(row, *nodes);
    found[kind].push_back(std::move(row));
  };
  for (const auto& [name, node] : *nodes) {
    for (const auto& row : node.value("waiting", json::array())) take("tasks", row);
  }
  for (const char* kind : {"actors", "groups"}) {
    for (const auto& row : all.value(kind, json::array())) take(kind, row);
  }
  return found;
}

}  // namespace

int why(const std::string& what, const std::string& cluster, Format format) {
  const auto session = find_session(cluster);
  if (!session) return complain(session.error().what);
  auto link = ToolLink::open(*session);
  if (!link) return complain(link.error().what);
  const auto found = find(**link, what);
  if (!found) return complain(found.error().what);
  if (format == Format::kJson) return std::printf("%s\n", found->dump().c_str()), 0;
  if ((*found)["tasks"].empty() && (*found)["actors"].empty() && (*found)["groups"].empty()) {
    if (what.empty()) return std::printf("nothing waits\n"), 0;
    const std::string state = state_of(**link, what);
    if (state.empty()) {
      return complain("nothing that waits is called \"" + what + "\"; `mobula why` shows all that waits");
    }
    return std::printf("%s; it waits for nothing\n", state.c_str()), 0;
  }
  print(*found);
  return 0;
}

}  // namespace mobula::cli

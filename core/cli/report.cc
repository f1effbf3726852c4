// status, list, logs and config: commands that look.
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <vector>

#include <nlohmann/json.hpp>

#include "collective/choose.h"
#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/settings_load.h"
#include "core/os/fd.h"

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

const std::vector<std::pair<const char*, const char*>> kNodeColumns{
    {"NODE", "name"},       {"STATE", "state"},         {"HOST", "host"}, {"PID", "pid"},
    {"WORKERS", "workers"}, {"AVAILABLE", "available"}, {"OF", "total"}};

json workers_of(const std::string& cluster, const SessionFile& connected);

Result<json> fetch(const std::string& what, const std::string& cluster) {
  const auto session = find_session(cluster);
  if (!session) return session.error();
  if (what == "workers") return workers_of(session->cluster, *session);
  auto link = ToolLink::open(*session);
  if (!link) return link.error();
  const auto text = (*link)->list(what);
  if (!text) return text.error();
  return json::parse(*text, nullptr, false);
}

// Each raylet knows its own workers; those of this host are asked.
json workers_of(const std::string& cluster, const SessionFile& connected) {
  json out = json::array();
  auto sessions = sessions_of_host();
  if (sessions.empty()) sessions.push_back(connected);
  for (const auto& session : sessions) {
    if (session.cluster != cluster || !session.is_alive()) continue;
    const auto link = ToolLink::open(session);
    if (!link) continue;
    const auto text = (*link)->node_status();
    const json status = text ? json::parse(*text, nullptr, false) : json();
    if (!status.is_object()) continue;
    for (const auto& worker : status["workers"]) out.push_back(worker);
  }
  return out;
}

// Prints what a file has gained since `offset`; returns the new end.
std::size_t print_from(const std::string& path, std::size_t offset, const std::string& tag) {
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 65536> buffer;
  std::string text;
  for (ssize_t n; (n = ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset))) > 0;) {
    offset += static_cast<std::size_t>(n);
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::printf("%s%.*s\n", tag.c_str(), static_cast<int>(end - at), text.data() + at);
    at = end + 1;
  }
  std::fflush(stdout);
  return offset;
}

std::size_t tail_offset(const std::string& path, unsigned lines) {
  if (lines == 0) return 0;
  const os::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 65536> buffer;
  std::deque<std::size_t> starts{0};
  std::size_t offset = 0;
  for (ssize_t n; (n = ::read(file.get(), buffer.data(), buffer.size())) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[static_cast<std::size_t>(i)] != '\n') continue;
      starts.push_back(offset + static_cast<std::size_t>(i) + 1);
      if (starts.size() > lines + 1u) starts.pop_front();
    }
    offset += static_cast<std::size_t>(n);
  }
  if (starts.size() > lines && starts.back() == offset) return starts[starts.size() - lines - 1];
  return starts.size() > lines ? starts[starts.size() - lines] : starts.front();
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
  return 0;
}

int list(const std::string& what, const std::string& cluster, Format format) {
  const auto rows = fetch(what, cluster);
  if (!rows) return complain(rows.error().what);
  if (format == Format::kJson) return std::printf("%s\n", rows->dump().c_str()), 0;
  if (what == "nodes") {
    print_table(*rows, kNodeColumns);
  } else if (what == "actors") {
    print_table(*rows, {{"ACTOR", "id"},
                        {"CLASS", "class"},
                        {"NAME", "name"},
                        {"STATE", "state"},
                        {"PID", "pid"},
                        {"RESTARTS", "restarts"},
                        {"WHY", "why"}});
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

int logs(const LogsOptions& options) {
  const auto session = find_session(options.cluster);
  if (!session) return complain(session.error().what);
  const std::string directory = session->directory + "/logs";
  const os::Fd changes(::inotify_init1(IN_CLOEXEC));
  ::inotify_add_watch(changes.get(), directory.c_str(), IN_CREATE | IN_MODIFY);
  std::map<std::string, std::size_t> shown;
  for (;;) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    for (const auto& name : names) {
      if (!options.worker.empty() && name.find(options.worker) == std::string::npos) continue;
      const std::string path = directory + "/" + name;
      const auto [at, is_new] = shown.try_emplace(name, 0);
      if (is_new) at->second = tail_offset(path, options.tail);
      at->second = print_from(path, at->second, "[" + name + "] ");
    }
    if (!options.follow) return shown.empty() ? complain("no log matches \"" + options.worker + "\"") : 0;
    std::array<char, 4096> events;
    if (::read(changes.get(), events.data(), events.size()) <= 0) return 0;
    if (!session->is_alive()) return 0;
  }
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

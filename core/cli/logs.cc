// logs: what the processes of a cluster wrote, on every node of it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/cli/commands.h"
#include "core/cli/ended_logs.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/convert.h"

namespace mobula::cli {
namespace {

using base::Result;
using nlohmann::json;

constexpr std::uint32_t kPieceBytes = 256 * 1024;
constexpr std::size_t kLineBytesMax = 64 * 1024;  // Longer ones are printed in parts.
constexpr auto kFollowEvery = std::chrono::milliseconds(200);
constexpr unsigned kRoundsPerNodeList = 10;

bool begins(const std::string& text, const std::string& prefix) { return text.compare(0, prefix.size(), prefix) == 0; }

struct Node {
  base::NodeId id;
  std::string name;
  std::string host;
  bool alive = false;
};

// One log of one node, and how far it was shown.
struct Shown {
  std::string label;
  json facts;  // Of each of its lines, with --json.
  std::uint64_t offset = 0;
  std::string partial;
};

class Printer {
 public:
  Printer(Format format, bool endless) : format_(format), is_array_(format == Format::kJson && !endless) {
    if (is_array_) std::printf("[");
  }
  ~Printer() {
    if (is_array_) std::printf("]\n");
  }
  Printer(const Printer&) = delete;
  Printer& operator=(const Printer&) = delete;

  void take(Shown& shown, const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t end = bytes.find('\n', at);
      const std::size_t stop = std::min(end == std::string::npos ? bytes.size() : end,
                                        at + kLineBytesMax - std::min(kLineBytesMax - 1, shown.partial.size()));
      shown.partial.append(bytes, at, stop - at);
      at = stop;
      if (at == end) ++at;
      if (stop == end || shown.partial.size() >= kLineBytesMax) flush(shown);
    }
    std::fflush(stdout);
  }
  void finish(Shown& shown) {
    if (!shown.partial.empty()) flush(shown);
  }

 private:
  void flush(Shown& shown) {
    const std::string text = std::exchange(shown.partial, {});
    if (format_ == Format::kText) {
      std::printf("[%s] %s\n", shown.label.c_str(), text.c_str());
      return;
    }
    json line = shown.facts;
    line["text"] = text;
    const std::string out = line.dump(-1, ' ', false, json::error_handler_t::replace);
    std::printf("%s%s%s", is_array_ && !first_ ? ",\n" : "", out.c_str(), is_array_ ? "" : "\n");
    first_ = false;
  }

  const Format format_;
  const bool is_array_;
  bool first_ = true;
};

class LogReader {
 public:
  LogReader(ToolLink& link, const LogsOptions& options)
      : link_(link), options_(options), printer_(options.format, options.follow) {}

  // What of the cluster is wanted; an error when there is no such node or actor.
  Result<void> choose() {
    const auto listed = find_nodes();
    if (!listed) return listed;
    if (options_.actor.empty()) return {};
    const auto text = link_.list("actors");
    if (!text) return text.error();
    for (const auto& actor : json::parse(*text, nullptr, false)) {
      const bool named = actor.value("name", "") == options_.actor || actor.value("class", "") == options_.actor;
      if (named || begins(actor.value("id", ""), options_.actor)) {
        actor_names_.insert(actor.value("name", ""));
        actor_names_.insert(actor.value("class", ""));
        actor_pids_.insert({actor.value("node", ""), actor.value("pid", std::int64_t{0})});
      }
    }
    actor_names_.erase("");
    if (actor_pids_.empty())
      return base::Error{base::Code::kNotFound, "no actor has the id, name or class \"" + options_.actor + "\""};
    return {};
  }

  // Shows what is new; false when the cluster cannot be asked any more.
  bool round() {
    std::set<std::pair<std::string, std::string>> directories;  // Each once, where nodes of a host share it.
    for (const Node& node : nodes_) {
      if (!node.alive) continue;
      proto::LogQuery query;
      query.set_node_id(node.id.bytes());
      const auto files = link_.logs(query);
      if (!files) {
        if (!link_.is_open()) return false;
        complain_once(node, files.error().what);
        continue;
      }
      if (!directories.insert({files->host_key(), files->directory()}).second) continue;
      if (files->truncated()) complain_once(node, "it has more logs than can be listed; the newest are shown");
      for (const auto& file : files->files()) {
        if (wanted(node, file) && !show(node, file)) return false;
      }
    }
    if (++rounds_ % kRoundsPerNodeList == 0) return find_nodes().ok();
    return true;
  }

  void finish() {
    for (auto& [key, shown] : shown_) printer_.finish(shown);
  }
  std::size_t logs_shown() const { return shown_.size(); }

 private:
  Result<void> find_nodes() {
    const auto text = link_.list("nodes");
    if (!text) return text.error();
    nodes_.clear();
    std::string names;
    for (const auto& row : json::parse(*text, nullptr, false)) {
      const std::string id = row.value("id", "");
      Node node{node_of_hex(id), row.value("name", ""), row.value("host", ""), row.value("state", "") != "DEAD"};
      names += (names.empty() ? "" : ", ") + node.name;
      const bool named = options_.node.empty() || options_.node == node.name || options_.node == node.host ||
                         begins(id, options_.node);
      if (!named) continue;
      if (!node.alive)
        complain_once(node, "it is dead; what it wrote lies in its session directory on host " + node.host);
      nodes_.push_back(std::move(node));
    }
    if (nodes_.empty())
      return base::Error{base::Code::kNotFound, "no node is called \"" + options_.node + "\"; there are: " + names};
    return {};
  }

  bool wanted(const Node& node, const proto::LogFile& file) const {
    const std::string pid = std::to_string(file.pid());
    const auto& part = options_.worker;
    if (!part.empty() && file.name().find(part) == std::string::npos && pid != part && file.worker() != part)
      return false;
    const auto job = base::JobId::from_string(file.job_id());
    if (!options_.job.empty() && (!job || !begins(job->hex(), options_.job))) return false;
    return options_.actor.empty() || actor_pids_.contains({node.id.short_hex(), file.pid()}) ||
           actor_names_.contains(file.worker());
  }

  bool show(const Node& node, const proto::LogFile& file) {
    const auto [at, is_new] = shown_.try_emplace({node.name, file.name()});
    Shown& shown = at->second;
    const bool is_worker = !file.worker().empty();
    if (is_new || is_worker) {
      shown.label = is_worker ? file.worker() + " " + std::to_string(file.pid()) + "@" + node.name
                              : file.name() + "@" + node.name;
      shown.facts = {{"node", node.name}, {"file", file.name()}};
      if (is_worker) {
        shown.facts["worker"] = file.worker();
        shown.facts["pid"] = file.pid();
        shown.facts["job"] = cluster::to_id<base::JobId>(file.job_id()).short_hex();
        shown.facts["stream"] = file.name().ends_with(".err") ? "stderr" : "stdout";
      }
    }
    proto::LogQuery query;
    query.set_node_id(node.id.bytes());
    query.set_file(file.name());
    if (is_new && options_.tail != 0 && rounds_ == 0) {
      query.set_tail_lines(options_.tail);
      const auto tail = link_.logs(query);
      if (tail) shown.offset = tail->offset();
    }
    while (shown.offset < file.bytes()) {
      query.set_offset(shown.offset);
      query.set_size(kPieceBytes);
      const auto piece = link_.logs(query);
      if (!piece) {
        complain_once(node, file.name() + ": " + piece.error().what);
        return link_.is_open();
      }
      if (piece->data().empty()) break;
      shown.offset += piece->data().size();
      printer_.take(shown, piece->data());
    }
    return true;
  }

  void complain_once(const Node& node, const std::string& what) {
    if (complained_.insert(node.name + what).second)
      std::fprintf(stderr, "mobula: node %s: %s\n", node.name.c_str(), what.c_str());
  }

  ToolLink& link_;
  const LogsOptions& options_;
  Printer printer_;
  std::vector<Node> nodes_;
  std::set<std::pair<std::string, std::int64_t>> actor_pids_;  // Where they are: node's short id and pid.
  std::set<std::string> actor_names_;                          // What their logs are marked with.
  std::map<std::pair<std::string, std::string>, Shown> shown_;
  std::set<std::string> complained_;
  unsigned rounds_ = 0;
};

}  // namespace

int logs(const LogsOptions& options) {
  const auto session = find_session(options.cluster);
  if (!session) {
    const auto ended = find_ended_session(options.cluster);
    return ended ? print_logs_of_ended(*ended, options) : complain(session.error().what);
  }
  const auto link = ToolLink::open(*session);
  if (!link) return complain(link.error().what);
  std::size_t shown = 0;
  {
    LogReader reader(**link, options);
    const auto chosen = reader.choose();
    if (!chosen) return complain(chosen.error().what);
    while (reader.round() && options.follow) (*link)->pause(kFollowEvery);
    reader.finish();
    shown = reader.logs_shown();
  }
  return shown == 0 && !options.follow ? complain("no log matches") : 0;
}

}  // namespace mobula::cli

#include "core/cli/node_facts.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "core/base/build_info.h"
#include "core/os/host.h"
#include "core/os/process.h"
#include "slurm/host_list.h"

namespace mobula::cli {
namespace {

using base::Code;
using base::Error;
using base::Result;
using Verdict = Finding::Verdict;

// srun starts all within a fraction of it.
constexpr std::int64_t kClockSpreadMsMax = 1000;
constexpr std::size_t kHostsShown = 8;

std::string limit_of(__rlimit_resource resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur);
}

std::string ucx_version() {
  void* library = ::dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "none";
  unsigned version[3] = {0, 0, 0};
  if (const auto get = reinterpret_cast<void (*)(unsigned*, unsigned*, unsigned*)>(::dlsym(library, "ucp_get_version")))
    get(&version[0], &version[1], &version[2]);
  ::dlclose(library);
  return fmt::format("{}.{}.{}", version[0], version[1], version[2]);
}

std::string rdma_devices() {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/infiniband", error))
    names.insert(entry.path().filename().string());
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : " ") + name;
  return out.empty() ? "none" : out;
}

std::string own_name_resolves() {
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(os::host_name().c_str(), nullptr, nullptr, &found);
  if (found != nullptr) ::freeaddrinfo(found);
  return error == 0 ? "resolves" : "does not resolve";
}

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

std::string short_list(const std::vector<std::string>& hosts) {
  if (hosts.size() <= kHostsShown) return slurm::write_host_list(hosts);
  const std::string list = slurm::write_host_list(hosts);
  return list.size() <= 100 ? list : fmt::format("{} nodes, among them {}", hosts.size(), hosts.front());
}

}  // namespace

NodeFacts read_node_facts() {
  NodeFacts out;
  out.host = os::host_name();
  out.clock_unix_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  utsname system{};
  ::uname(&system);
  const double gib = static_cast<double>(os::memory_limit_bytes()) / (1024.0 * 1024.0 * 1024.0);
  out.facts = {{"mobula", std::string(base::kVersion) + ", build " + os::self_build_id()},
               {"kernel", system.release},
               {"cpus", std::to_string(os::cpus_available())},
               {"memory", fmt::format("{} GiB", std::llround(gib))},
               {"memlock", limit_of(RLIMIT_MEMLOCK)},
               {"open files", limit_of(RLIMIT_NOFILE)},
               {"processes", limit_of(RLIMIT_NPROC)},
               {"UCX", ucx_version()},
               {"RDMA", rdma_devices()},
               {"own name", own_name_resolves()},
               {"network", variable("SLURM_TOPOLOGY_ADDR_PATTERN", "not told")}};
  return out;
}

std::string print(const NodeFacts& facts) {
  nlohmann::json json{{"host", facts.host}, {"clock_unix_ms", facts.clock_unix_ms}, {"facts", facts.facts}};
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Result<NodeFacts> parse_node_facts(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  const Error bad{Code::kInvalid, "\"" + line.substr(0, 100) + "\" is not what a node says of itself"};
  if (!json.is_object() || !json.contains("host") || !json["host"].is_string() || !json.contains("clock_unix_ms") ||
      !json["clock_unix_ms"].is_number_integer() || !json.contains("facts") || !json["facts"].is_array()) {
    return bad;
  }
  NodeFacts out;
  out.host = json["host"];
  out.clock_unix_ms = json["clock_unix_ms"];
  for (const auto& fact : json["facts"]) {
    if (!fact.is_array() || fact.size() != 2 || !fact[0].is_string() || !fact[1].is_string()) return bad;
    out.facts.emplace_back(fact[0], fact[1]);
  }
  return out;
}

std::vector<Finding> compare_nodes(const std::vector<NodeFacts>& nodes, const std::vector<std::string>& expected) {
  std::vector<Finding> out;
  std::map<std::string, unsigned> answers;
  for (const auto& node : nodes) ++answers[node.host];
  std::vector<std::string> silent;
  for (const auto& host : expected) {
    // Slurm's name of a node may be the first part of the host's.
    const bool answered = std::any_of(answers.begin(), answers.end(), [&host](const auto& answer) {
      return answer.first == host || answer.first.substr(0, answer.first.find('.')) == host;
    });
    if (!answered) silent.push_back(host);
  }
  out.push_back(
      {"nodes", silent.empty() ? Verdict::kOk : Verdict::kFail,
       silent.empty() ? fmt::format("{} answered", nodes.size()) : "no answer from " + short_list(silent),
       "srun --overlap --nodelist=" + (silent.empty() ? std::string("NODE") : silent.front()) + " hostname says why"});
  for (const auto& [host, count] : answers) {
    if (count > 1) {
      out.push_back({"host name", Verdict::kFail, fmt::format("{} nodes call themselves {}", count, host),
                     "give each node its own host name: peers on one host are taken to share memory"});
    }
  }
  if (nodes.empty()) return out;

  const auto [first, last] =
      std::minmax_element(nodes.begin(), nodes.end(),
                          [](const NodeFacts& a, const NodeFacts& b) { return a.clock_unix_ms < b.clock_unix_ms; });
  const std::int64_t spread = last->clock_unix_ms - first->clock_unix_ms;
  out.push_back({"clocks", spread <= kClockSpreadMsMax ? Verdict::kOk : Verdict::kWarn,
                 spread <= kClockSpreadMsMax
                     ? fmt::format("within {} ms of each other, the start of the tasks included", spread)
                     : fmt::format("{} is {} ms behind {}", first->host, spread, last->host),
                 "let chronyd or ntpd keep them; the end of the job's time is read from each node's clock"});

  for (std::size_t i = 0; i < nodes.front().facts.size(); ++i) {
    const std::string& name = nodes.front().facts[i].first;
    std::map<std::string, std::vector<std::string>> by_value;
    for (const auto& node : nodes) {
      const bool has = i < node.facts.size() && node.facts[i].first == name;
      by_value[has ? node.facts[i].second : "(another version of mobula)"].push_back(node.host);
    }
    if (by_value.size() == 1) {
      out.push_back({name, Verdict::kOk, by_value.begin()->first + " on all", ""});
      continue;
    }
    std::string text;
    for (const auto& [value, hosts] : by_value) text += (text.empty() ? "" : "; ") + value + " on " + short_list(hosts);
    out.push_back(
        {name, name == "mobula" ? Verdict::kFail : Verdict::kWarn, text,
         name == "mobula" ? "install one build on all nodes" : "nodes of one job should be alike; ask the site"});
  }
  return out;
}

}  // namespace mobula::cli

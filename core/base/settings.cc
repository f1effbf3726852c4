#include "core/base/settings.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "core/base/edit_distance.h"

namespace mobula::base {
namespace {

constexpr std::array kSettings{
    SettingInfo{"nodes", "1", "Raylets that an embedded cluster has on this machine.", SettingKind::kCount},
    SettingInfo{"cpus_per_node", "auto", "CPUs that each node offers; auto: all that this process may use.",
                SettingKind::kNumber},
    SettingInfo{"gpus_per_node", "auto", "GPUs that each node offers; auto: those of the machine.",
                SettingKind::kNumber},
    SettingInfo{"resources", "", "Further resources of each node: name=amount,name=amount."},
    SettingInfo{"labels", "", "Labels of each node: key=value,key=value."},
    SettingInfo{"topology", "auto", "What a node is made of: auto, off, xml:PATH or synthetic:TEXT of hwloc."},
    SettingInfo{"bind", "auto",
                "Workers stay on their bundle's CPUs: auto (where no other raylet shares them), on or off."},
    SettingInfo{"topology_file", "", "Switches, blocks and racks above the nodes, as in Slurm's topology.conf."},
    SettingInfo{"store_bytes", "auto",
                "Object store of each node; auto: 30 % of the memory, divided by the nodes of a host.",
                SettingKind::kBytes},
    SettingInfo{"max_lineage_bytes", "1GiB",
                "What each process keeps at most in order to run tasks again whose values are lost.",
                SettingKind::kBytes},
    SettingInfo{"node_link", "auto", "What joins two nodes: auto, shm, sock or ucx.", SettingKind::kChoice,
                "auto shm sock ucx"},
    SettingInfo{"interface", "",
                "Where to listen for other hosts: a numeric address, a subnet (10.1.0.0/16) or an interface (ib0); "
                "empty: this host only, or under a launcher what leads to the other nodes."},
    SettingInfo{"start_timeout", "60", "Seconds that the nodes of a launcher's start may take to come together.",
                SettingKind::kNumber},
    SettingInfo{"min_nodes", "auto",
                "Nodes that must have come when start_timeout is over; auto: all that the launcher started.",
                SettingKind::kNumber},
    SettingInfo{"rendezvous", "auto",
                "How the nodes of a launcher's start find each other: auto, pmix, pmi, munge or file.",
                SettingKind::kChoice, "auto pmix pmi munge file"},
    SettingInfo{"rendezvous_dir", "auto",
                "A directory that all nodes share, for rendezvous = file; auto: ~/.mobula where that is shared."},
    SettingInfo{"workers_max", "1024", "Worker processes of a node, those that wait in get() included.",
                SettingKind::kNumber},
    SettingInfo{"prestart", "auto", "Idle workers that a node keeps ready; auto: as many as its CPUs.",
                SettingKind::kNumber},
    SettingInfo{"idle_timeout_ms", "2000", "How long workers beyond `prestart` may be idle.", SettingKind::kNumber},
    SettingInfo{"memory_monitor", "95",
                "Percent of the memory in use at which a node ends a worker before the kernel does; 0: never.",
                SettingKind::kNumber},
    SettingInfo{"exec_workers", "0", "Start each worker by exec instead of forking it from a zygote.",
                SettingKind::kFlag},
    SettingInfo{"collectives", "", "Rules before the table that `mobula config collectives` prints: rule,rule."},
    SettingInfo{
        "collective_memory", "1",
        "Run collectives of members on one node in shared memory; staged: without reading their buffers in place.",
        SettingKind::kChoice, "1 0 staged"},
    SettingInfo{"collective_patience_s", "600", "How long a group waits for a member that lives but does not come.",
                SettingKind::kNumber},
    SettingInfo{"hang_limit_s", "5", "After how long without an answer a member of a group is lost.",
                SettingKind::kNumber},
    SettingInfo{"log_to_driver", "1", "Show the lines that workers write on the driver's terminal.",
                SettingKind::kFlag},
    SettingInfo{"fold_logs", "1", "Show a line that several workers write at once as one, with a count.",
                SettingKind::kFlag},
    SettingInfo{"log", "warn", "What the runtime itself logs: trace, debug, info, warn, error or off.",
                SettingKind::kChoice, "trace debug info warn error off"},
    SettingInfo{"end_time", "auto",
                "When the time of the cluster is over, in seconds since 1970; auto: asked of Slurm inside a job.",
                SettingKind::kNumber},
    SettingInfo{"end_time_refresh_s", "60", "How often Slurm is asked again for the end of the job.",
                SettingKind::kNumber},
    SettingInfo{"state_directory", "auto",
                "Where state is saved that outlives a job; auto: mobula-state where the Slurm job was submitted, else "
                "nowhere."},
    SettingInfo{"state_key", "auto",
                "What saved state is found by; auto: the Slurm job's id, else the program's name."},
    SettingInfo{"preempt_signals", "TERM,USR1",
                "Signals that say that the job is about to end: TERM,USR1,USR2,HUP,XCPU,INT."},
    SettingInfo{"preempt_warning_s", "0",
                "Begin the orderly end so long before the end of the job's time; 0: at a signal only.",
                SettingKind::kNumber},
    SettingInfo{"preempt_grace_s", "15", "How long callbacks, tasks under way and saves of state may take at the end.",
                SettingKind::kNumber},
    SettingInfo{"interrupt_grace_s", "10",
                "How long tasks and calls under way may go on after Ctrl-C; a second one ends all at once.",
                SettingKind::kNumber},
    SettingInfo{"requeue", "0", "Ask Slurm to run the job again when its time is over before the program is.",
                SettingKind::kFlag},
    SettingInfo{"tmpdir", "auto", "Parent of session directories; auto: $XDG_RUNTIME_DIR/mobula or /tmp/mobula-UID."},
};

constexpr std::string_view kFlags = "0 1 false true no yes off on";

bool is_one_of(std::string_view word, std::string_view choices) {
  if (word.empty() || word.find(' ') != word.npos) return false;
  for (std::size_t at = choices.find(word); at != choices.npos; at = choices.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || choices[at - 1] == ' ') && (end == choices.size() || choices[end] == ' ')) return true;
  }
  return false;
}

std::string variable_of(std::string_view key) {
  std::string out = "MOBULA_";
  for (const char c : key) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::span<const SettingInfo> all_settings() { return kSettings; }

const char* name_of(SettingSource source) {
  switch (source) {
    case SettingSource::kDefault: return "default";
    case SettingSource::kFile: return "file";
    case SettingSource::kEnvironment: return "environment";
    case SettingSource::kCommandLine: return "command line";
  }
  return "";
}

Settings::Settings() {
  for (const SettingInfo& info : kSettings) values_[info.key] = {info.default_value, SettingSource::kDefault, ""};
}

Result<void> Settings::set(const std::string& key, std::string value, SettingSource source, std::string where) {
  const auto it = values_.find(key);
  if (it == values_.end()) {
    const auto nearest = std::min_element(kSettings.begin(), kSettings.end(), [&key](const auto& a, const auto& b) {
      return edit_distance(key, a.key) < edit_distance(key, b.key);
    });
    return Error{Code::kInvalid, where + ": there is no setting \"" + key + "\"; is \"" + nearest->key + "\" meant?"};
  }
  if (source >= it->second.source) it->second = {std::move(value), source, std::move(where)};
  return {};
}

Result<void> Settings::take_environment(const std::vector<std::string>& environment) {
  for (const SettingInfo& info : kSettings) {
    const std::string prefix = variable_of(info.key) + "=";
    for (const auto& variable : environment) {
      if (variable.compare(0, prefix.size(), prefix) != 0) continue;
      const auto taken =
          set(info.key, variable.substr(prefix.size()), SettingSource::kEnvironment, variable_of(info.key));
      if (!taken) return taken;
    }
  }
  return {};
}

Result<void> Settings::check(const SettingInfo& info) const {
  const Value& value = at(info.key);
  if (value.text == info.default_value || (std::string_view(info.default_value) == "auto" && value.text.empty()))
    return {};
  const auto refuse = [&](const std::string& wanted) {
    return Error{Code::kInvalid,
                 std::string(info.key) + " = \"" + value.text + "\" (" + value.where + ") is not " + wanted};
  };
  switch (info.kind) {
    case SettingKind::kText: return {};
    case SettingKind::kNumber:
    case SettingKind::kCount: {
      const auto amount = number(info.key);
      if (!amount) return amount.error();
      if (info.kind == SettingKind::kNumber || (*amount >= 1 && *amount == std::floor(*amount))) return {};
      return refuse("a whole number from 1 on");
    }
    case SettingKind::kBytes: {
      const auto amount = bytes(info.key);
      if (!amount) return amount.error();
      return {};
    }
    case SettingKind::kFlag:
      if (is_one_of(value.text, kFlags)) return {};
      return refuse("1 or 0");
    case SettingKind::kChoice:
      if (is_one_of(value.text, info.choices)) return {};
      return refuse("one of: " + std::string(info.choices));
  }
  return {};
}

Result<void> Settings::check() const {
  for (const SettingInfo& info : kSettings) {
    if (auto checked = check(info); !checked) return checked;
  }
  return {};
}

const Settings::Value& Settings::at(std::string_view key) const {
  const auto it = values_.find(key);
  assert(it != values_.end());
  return it->second;
}

Result<double> Settings::number(std::string_view key) const {
  const Value& value = at(key);
  char* end = nullptr;
  const double out = std::strtod(value.text.c_str(), &end);
  if (value.text.empty() || *end != '\0' || !std::isfinite(out) || out < 0) {
    return Error{Code::kInvalid, std::string(key) + " = \"" + value.text + "\" (" + value.where + ") is not a number"};
  }
  return out;
}

Result<std::uint64_t> Settings::bytes(std::string_view key) const {
  const Value& value = at(key);
  char* end = nullptr;
  const double number = std::strtod(value.text.c_str(), &end);
  std::string unit(end);
  if (unit.size() >= 2 && unit.substr(unit.size() - 2) == "iB") unit.resize(unit.size() - 2);
  if (unit.size() == 2 && unit.back() == 'B') unit.resize(1);
  constexpr std::string_view kUnits = "KMGT";
  const std::size_t power = unit.empty() || unit == "B" ? 0 : kUnits.find(unit) + 1;
  const double out = number * std::pow(1024.0, static_cast<double>(power));
  const bool is_number = !value.text.empty() && end != value.text.c_str();
  const bool is_unit = unit.size() <= 1 && (power != 0 || unit.empty() || unit == "B");
  if (!is_number || !is_unit || !(out >= 0) || out > static_cast<double>(kSettingBytesMax)) {
    return Error{Code::kInvalid, std::string(key) + " = \"" + value.text + "\" (" + value.where +
                                     ") is not an amount of memory: 512M, 2GiB"};
  }
  return static_cast<std::uint64_t>(out);
}

bool Settings::flag(std::string_view key) const {
  const std::string& value = text(key);
  return value == "1" || value == "true" || value == "yes" || value == "on";
}

}  // namespace mobula::base

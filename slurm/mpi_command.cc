#include "slurm/mpi_command.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mobula::slurm {
namespace {

// Of Slurm's variables these are no options of srun's, and name no task.
constexpr std::array<std::string_view, 5> kKept{"SLURM_CONF", "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME",
                                                "SLURM_WORKING_CLUSTER"};

std::vector<std::string> distinct(const std::vector<std::string>& hosts) {
  std::vector<std::string> out;
  for (const auto& host : hosts) {
    if (std::find(out.begin(), out.end(), host) == out.end()) out.push_back(host);
  }
  return out;
}

std::vector<std::pair<std::string, std::size_t>> counted(const std::vector<std::string>& hosts) {
  std::vector<std::pair<std::string, std::size_t>> out;
  for (const auto& host : distinct(hosts)) {
    out.emplace_back(host, static_cast<std::size_t>(std::count(hosts.begin(), hosts.end(), host)));
  }
  return out;
}

Environment cleaned(const Environment& environment, bool in_allocation) {
  Environment out;
  for (const auto& [name, value] : environment) {
    const bool of_slurm = name.rfind("SLURM", 0) == 0 || name.rfind("SRUN_", 0) == 0;
    if (!of_slurm || (in_allocation && std::find(kKept.begin(), kKept.end(), name) != kKept.end())) out[name] = value;
  }
  return out;
}

void add(std::vector<std::string>& argv, std::initializer_list<std::string> words) { argv.insert(argv.end(), words); }

std::string joined(const std::vector<std::string>& hosts, const char* between) {
  std::string out;
  for (const auto& host : hosts) out += (out.empty() ? "" : between) + host;
  return out;
}
// Each rank's host in a line of its own.
std::string lines(const std::vector<std::string>& hosts) { return joined(hosts, "\n") + "\n"; }

void srun(const MpiStart& start, MpiCommand& out, Environment& env) {
  const std::size_t hosts = distinct(start.hosts).size();
  out.host_file = lines(start.hosts);
  env["SLURM_HOSTFILE"] = kMpiHostFile;
  add(out.argv, {"--overlap", "--overcommit", "--distribution=arbitrary", "--nodes=" + std::to_string(hosts),
                 "--ntasks=" + std::to_string(start.hosts.size()), "--cpu-bind=none", "--kill-on-bad-exit=1"});
  if (!start.pmi.empty()) out.argv.push_back("--mpi=" + start.pmi);
}

void open_mpi(const MpiStart& start, MpiCommand& out, Environment& env) {
  add(out.argv, {"-np", std::to_string(start.hosts.size()), "--oversubscribe", "--bind-to", "none"});
  if (start.in_allocation) {
    const std::vector<std::string> hosts = distinct(start.hosts);
    env["SLURM_JOBID"] = env["SLURM_JOB_ID"];  // It looks for the old name.
    // In full: its reader does not know all that Slurm's short form can say.
    env["SLURM_NODELIST"] = env["SLURM_JOB_NODELIST"] = joined(hosts, ",");
    env["SLURM_NNODES"] = env["SLURM_JOB_NUM_NODES"] = std::to_string(hosts.size());
    env["SLURM_TASKS_PER_NODE"] = tasks_per_node(start.hosts);
    env["SLURM_OVERLAP"] = "1";  // For its own srun.
  } else if (!start.rsh.empty() && !start.is_local) {
    add(out.argv, {"--mca", "plm_rsh_agent", start.rsh});
  }
  if (start.is_local) return;
  out.host_file = lines(start.hosts);
  add(out.argv, {"--hostfile", kMpiHostFile, "--mca", "rmaps", "seq"});
}

void hydra(const MpiStart& start, MpiCommand& out, Environment& env) {
  add(out.argv, {"-n", std::to_string(start.hosts.size())});
  if (start.in_allocation) {
    add(out.argv, {"-launcher", "slurm"});
    env["SLURM_OVERLAP"] = "1";
  } else if (!start.rsh.empty() && !start.is_local) {
    add(out.argv, {"-launcher", "ssh", "-launcher-exec", start.rsh});
  }
  if (start.is_local) return;
  for (const auto& [host, ranks] : counted(start.hosts)) out.host_file += host + ":" + std::to_string(ranks) + "\n";
  add(out.argv, {"-f", kMpiHostFile});
}

}  // namespace

std::string tasks_per_node(const std::vector<std::string>& hosts) {
  std::string out;
  const auto all = counted(hosts);
  for (std::size_t i = 0; i < all.size();) {
    std::size_t end = i;
    while (end < all.size() && all[end].second == all[i].second) ++end;
    out += (out.empty() ? "" : ",") + std::to_string(all[i].second);
    if (end - i > 1) out += "(x" + std::to_string(end - i) + ")";
    i = end;
  }
  return out;
}

MpiLauncher launcher_of_version(std::string_view text) {
  for (const std::string_view word : {"Open MPI", "OpenRTE", "Open RTE"}) {
    if (text.find(word) != std::string_view::npos) return MpiLauncher::kOpenMpi;
  }
  return MpiLauncher::kHydra;
}

std::string pmi_for(std::string_view program_bytes, std::string_view site) {
  const bool mpich = program_bytes.find("libmpich.so") != std::string_view::npos ||
                     program_bytes.find("libmpi.so.12") != std::string_view::npos;
  const std::string all = ", " + std::string(site) + ",";
  for (const std::string_view kind : {mpich ? "pmi2" : "pmix", mpich ? "pmix" : "pmi2"}) {
    if (all.find(" " + std::string(kind) + ",") != std::string::npos) return std::string(kind);
  }
  return {};
}

MpiCommand mpi_command(const MpiStart& start, const Environment& environment) {
  MpiCommand out;
  Environment env = cleaned(environment, start.in_allocation);
  out.argv.push_back(start.launcher);
  switch (start.kind) {
    case MpiLauncher::kSrun: srun(start, out, env); break;
    case MpiLauncher::kOpenMpi: open_mpi(start, out, env); break;
    case MpiLauncher::kHydra: hydra(start, out, env); break;
  }
  out.argv.insert(out.argv.end(), start.launcher_arguments.begin(), start.launcher_arguments.end());
  out.argv.push_back(start.program);
  out.argv.insert(out.argv.end(), start.arguments.begin(), start.arguments.end());
  for (const auto& [name, value] : env) out.env.push_back(name + "=" + value);
  return out;
}

}  // namespace mobula::slurm

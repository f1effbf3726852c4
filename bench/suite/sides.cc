#include "bench/suite/sides.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace mobula::bench {
namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

SideCommand command(std::vector<std::string> argv, Environment environment = {}) {
  SideCommand out;
  out.argv = std::move(argv);
  out.environment = std::move(environment);
  if (::access(out.argv.front().c_str(), X_OK) != 0)
    out.missing = out.argv.front() + " was not built: its library was not found";
  return out;
}

// libfabric, which Open MPI would load, calibrates for 0.2 s at start.
SideCommand mpi(const std::string& program, Environment environment) {
  environment.emplace_back("OMPI_MCA_mtl", "^ofi,psm,psm2");
  environment.emplace_back("OMPI_MCA_rmaps_base_oversubscribe", "1");
  environment.emplace_back("OMPI_ALLOW_RUN_AS_ROOT", "1");
  environment.emplace_back("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  SideCommand out = command({program}, std::move(environment));
  out.argv = {"mpirun", "--oversubscribe", "--bind-to", "none", "-np", "2", program};
  return out;
}

std::vector<std::string> on_two_networks(const Programs& programs, int per_host, const std::string& program) {
  const std::string slots = ":" + std::to_string(per_host);
  return {programs.sources + "/two_networks.sh",
          "mpirun",
          "--oversubscribe",
          "--bind-to",
          "none",
          "--host",
          "10.214.0.1" + slots + ",10.214.0.2" + slots,
          "-np",
          std::to_string(2 * per_host),
          program,
          "sock"};
}

// bench/run says in the environment where the Python is that has Ray, or why there is none.
SideCommand ray(const std::string& script) {
  const char* python = std::getenv("MOBULA_BENCH_RAY_PYTHON");
  const char* why = std::getenv("MOBULA_BENCH_RAY_MISSING");
  SideCommand out;
  out.argv = {python == nullptr ? "" : python, script};
  if (python == nullptr) out.missing = why == nullptr ? "Ray is not installed" : why;
  return out;
}

}  // namespace

Sides::Sides(const Programs& programs, std::string log_directory) : log_directory_(std::move(log_directory)) {
  const auto here = [&](const char* name) { return programs.directory + "/" + name; };
  commands_["ours"] = command({here("bench_ours")});
  commands_["ours_fresh"] = command({here("bench_ours")});
  commands_["ours_fresh"].fresh = true;
  for (const std::string link : {"shm", "sock"}) {
    commands_["ours_" + link] = command({here("bench_ours")}, {{"MOBULA_NODES", "2"}, {"MOBULA_NODE_LINK", link}});
  }
  for (const std::string family : {"memory", "group", "tcp", "process", "ucx"})
    commands_[family] = command({here("bench_floor"), family});
  commands_["hello"] = command({here("bench_start"), "hello world", programs.hello});
  commands_["plain_hello"] = command({here("bench_start"), "hello world", here("bench_plain_hello")});
  commands_["barrier"] = command({here("bench_barrier"), "engine"});
  commands_["barrier_yield"] = command({here("bench_barrier"), "yield"});
  for (const auto& [side, program] :
       {std::pair("launch_srun", here("bench_first_task")), std::pair("launch_hostname", std::string("hostname"))}) {
    SideCommand slurm = command({here("bench_launch")},
                                {{"FIXTURE_CPUS", "8"}, {"FIXTURE_CHECK", "no"}, {"FIXTURE_KEEP", programs.directory}});
    slurm.argv = {programs.fixture, "8", here("bench_launch"), "srun", program};
    commands_[side] = std::move(slurm);
  }
  commands_["launch_mpirun"] = mpi(here("bench_launch"), {});
  commands_["launch_mpirun"].argv = {here("bench_launch"), "mpirun", here("bench_first_task")};
  commands_["launch_mpi"] = mpi(here("mpi_floor"), {});
  commands_["launch_mpi"].argv = {here("bench_launch"), "mpirun", here("mpi_floor")};
  commands_["join"] = command({here("bench_join")});
  commands_["sched"] = command({here("bench_sched")});
  commands_["sched_fresh"] = command({here("bench_sched")}, {{"MOBULA_NODES", "3"}});
  commands_["sched_fresh"].fresh = true;
  commands_["scale"] = command({here("bench_scale")});
  commands_["grpc"] = command({here("grpc_peer")});
  commands_["mpi"] = mpi(here("mpi_peer"), {{"OMPI_MCA_btl", "^ofi,openib"}});
  commands_["mpi_tcp"] =
      mpi(here("mpi_peer"), {{"OMPI_MCA_btl", "tcp,self"}, {"OMPI_MCA_pml", "ob1"}, {"OMPI_MCA_osc", "pt2pt"}});
  // Groups: on one node, and between two hosts, each a network namespace of this one.
  commands_["ours_group"] = command({here("bench_ours_group")});
  commands_["ours_group_staged"] = command({here("bench_ours_group")}, {{"MOBULA_COLLECTIVE_MEMORY", "staged"}});
  commands_["ours_group_sock"] = mpi(here("bench_ours_group"), {{"MOBULA_NODE_LINK", "sock"}});
  commands_["ours_group_sock"].argv = on_two_networks(programs, 1, here("bench_ours_group"));
  for (const int ranks : {2, 4}) {
    const std::string n = std::to_string(ranks);
    SideCommand& shared = commands_["mpi_group_n" + n] =
        mpi(here("mpi_collectives"), {{"OMPI_MCA_btl", "^ofi,openib"}});
    shared.argv = {"mpirun", "--oversubscribe", "--bind-to", "none", "-np", n, here("mpi_collectives")};
    commands_["mpi_sock_n" + n] = mpi(here("mpi_collectives"), {{"OMPI_MCA_btl", "^ofi,openib"}});
    commands_["mpi_sock_n" + n].argv = on_two_networks(programs, ranks / 2, here("mpi_collectives"));
  }
  if (programs.peers_wanted.contains("ray")) commands_["ray"] = ray(programs.sources + "/ray_peer.py");
}

bool Sides::wanted(const std::string& side) const { return commands_.contains(side); }

Answer Sides::measure(const std::string& side, const std::string& metric, bool quick) {
  const SideCommand& how = commands_.at(side);
  if (!how.missing.empty()) return {std::nullopt, how.missing};
  auto& process = running_[side];
  if (!process || how.fresh) {
    process.reset();
    process = std::make_unique<SideProcess>(how, log_directory_ + "/" + side);
    if (!versions_.contains(side)) versions_[side] = process->version();
  }
  return process->measure(metric, quick);
}

}  // namespace mobula::bench

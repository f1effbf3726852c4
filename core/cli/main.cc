#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "core/base/build_info.h"
#include "core/base/edit_distance.h"
#include "core/cli/allocation.h"
#include "core/cli/batch_script.h"
#include "core/cli/commands.h"
#include "core/cli/completion.h"
#include "core/cluster/roles.h"

namespace mobula::cli {
namespace {

// Everything after `--` is the program and its arguments, untouched.
std::vector<std::string> take_program(std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] != "--") continue;
    std::vector<std::string> program(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
    arguments.resize(i);
    return program;
  }
  return {};
}

// The commands that are nearest to what was typed; none where nothing is near.
std::string commands_like(const std::string& typed, const CLI::App& app) {
  std::string out;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); })) {
    const std::string& name = command->get_name();
    const bool near = base::edit_distance(typed, name) <= 2 || (typed.size() > 1 && name.starts_with(typed));
    if (near) out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

int refuse_command(const std::string& typed, const CLI::App& app) {
  const std::string near = commands_like(typed, app);
  complain("there is no command \"" + typed + "\"" + (near.empty() ? "" : "; is one of these meant: " + near + "?") +
           "  `mobula --help` lists the commands");
  return 2;
}

int main_with(std::vector<std::string> arguments) {
  CLI::App app("Tasks, actors and objects at the speed of MPI", "mobula");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("mobula ") + base::kVersion);
  int code = 0;
  bool json = false;
  std::string cluster;
  const auto format = [&json] { return json ? Format::kJson : Format::kText; };
  const auto reports = [&json](CLI::App* command) { command->add_flag("--json", json, "Print JSON"); };
  const auto of_cluster = [&cluster](CLI::App* command) {
    command->add_option("--address", cluster,
                        "Which cluster: its name or session directory; default: the one that runs here");
  };
  constexpr std::array kAsksACluster{"submit", "status", "list", "why", "logs", "stop"};
  const bool asks =
      !arguments.empty() && std::find(kAsksACluster.begin(), kAsksACluster.end(), arguments[0]) != kAsksACluster.end();
  if (asks) go_to_allocation(arguments);
  std::vector<std::string> program = take_program(arguments);

  RunOptions run_options;
  auto* run_command = app.add_subcommand("run", "Run a program on a cluster of its own: mobula run --nodes 4 -- ./app");
  run_command->add_option("-n,--nodes", run_options.nodes, "Raylets on this machine")->check(CLI::Range(1u, 4096u));
  run_command->add_option("--cpus-per-node", run_options.cpus_per_node, "CPUs that each node offers");
  run_command->add_option("--hosts", run_options.hosts,
                          "By ssh on these hosts: a file with a host a line, or a list: n[1-4],login1");
  run_command
      ->add_option("--min-nodes", run_options.min_nodes,
                   "Under a launcher: go on with so many nodes when the others do not come in time")
      ->check(CLI::Range(1u, 65536u));
  run_command->add_option("--set", run_options.settings, "key=value; `mobula config` lists the keys")
      ->allow_extra_args(false);
  run_command->callback([&] {
    run_options.command = program;
    code = program.empty() ? (complain("run needs a program: mobula run -- ./app"), 2) : run(run_options);
  });

  auto* task_command = app.add_subcommand("task", "What run --hosts starts on each host")->group("");
  task_command->callback([&] { code = remote_task(); });

  auto* node_command = app.add_subcommand("node", "What start runs on each node of an allocation")->group("");
  node_command->callback([&] { code = allocation_node(); });

  StartOptions start_options;
  auto* start_command =
      app.add_subcommand("start",
                         "Start a cluster that serves many programs, or add this host to one; in the shell of a Slurm "
                         "allocation: of all its nodes");
  start_command->add_flag("--head", start_options.head, "A new cluster with this host as its first node");
  start_command->add_option("--address", start_options.address,
                            "The cluster to join: HOST:PORT of its GCS, or a cluster of this host");
  start_command->add_option("--key-file", start_options.key_file, "A copy of the cluster's key, mode 0600");
  start_command->add_option("--interface", start_options.interface,
                            "Numeric address of this host that other hosts reach");
  start_command->add_option("--cpus", start_options.cpus, "CPUs that this node offers");
  start_command->add_option("--gpus", start_options.gpus, "GPUs that this node offers");
  start_command->add_option("--memory", start_options.memory, "Memory that this node offers: 16G");
  start_command->add_option("--labels", start_options.labels, "key=value,...");
  reports(start_command);
  start_command->callback([&] {
    start_options.format = format();
    const bool of_allocation = !start_options.head && start_options.address.empty() && is_allocation_shell();
    code = of_allocation ? start_in_allocation(format()) : start(start_options);
  });

  auto* stop_command = app.add_subcommand("stop", "End a cluster, and only that one");
  stop_command->add_option("name", cluster, "Its name; default: the one that runs here");
  of_cluster(stop_command);
  reports(stop_command);
  stop_command->callback([&] { code = stop(cluster, format()); });

  std::optional<std::uint32_t> sweep_uid;
  auto* sweep_command = app.add_subcommand("sweep", "Remove what clusters left here that were killed with SIGKILL");
  sweep_command->add_option("--uid", sweep_uid,
                            "As root: of this user; for an epilog: mobula sweep --uid $SLURM_JOB_UID");
  sweep_command->callback([&] { code = sweep(sweep_uid); });

  auto* submit_command = app.add_subcommand("submit", "Run a program on a running cluster: mobula submit -- ./app");
  of_cluster(submit_command);
  submit_command->callback([&] {
    code =
        program.empty() ? (complain("submit needs a program: mobula submit -- ./app"), 2) : submit({cluster, program});
  });

  auto* status_command = app.add_subcommand("status", "Show a cluster");
  of_cluster(status_command);
  reports(status_command);
  status_command->callback([&] { code = status(cluster, format()); });

  std::string what;
  auto* list_command = app.add_subcommand(
      "list", "List nodes, workers, actors, jobs, placement groups, or the use of CPUs and memory by function");
  list_command->add_option("what", what)
      ->required()
      ->check(CLI::IsMember({"nodes", "workers", "actors", "jobs", "placement-groups", "use"}));
  of_cluster(list_command);
  reports(list_command);
  std::string columns;
  list_command->add_option("-o", columns, "Further columns: topo shows where workers run")
      ->check(CLI::IsMember({"topo"}));
  list_command->callback(
      [&] { code = list(what, cluster, format(), columns == "topo" ? Columns::kTopology : Columns::kUsual); });

  std::string waiting;
  auto* why_command = app.add_subcommand(
      "why", "Say what work waits for: which resource is short, who holds it, which node is nearest");
  why_command->add_option("what", waiting, "A function's name, or the id or name of an actor or placement group");
  of_cluster(why_command);
  reports(why_command);
  why_command->callback([&] { code = why(waiting, cluster, format()); });

  TopoOptions topo_options;
  auto* topo_command = app.add_subcommand("topo", "Draw what this machine, or a node of a cluster, is made of");
  topo_command->add_option("--node", topo_options.node, "A node of the cluster: its name, host or id");
  of_cluster(topo_command);
  reports(topo_command);
  topo_command->callback([&] {
    topo_options.cluster = cluster;
    topo_options.format = format();
    code = topo(topo_options);
  });

  LogsOptions logs_options;
  auto* logs_command = app.add_subcommand("logs", "Print what workers, raylets and the GCS wrote, on every node");
  logs_command->add_option("worker", logs_options.worker, "Part of the log's name: a worker's id or pid, n0, gcs");
  logs_command->add_option("--node", logs_options.node, "Only of this node: its name, host or id");
  logs_command->add_option("--actor", logs_options.actor, "Only of this actor: its id, name or class");
  logs_command->add_option("--job", logs_options.job, "Only of this job's workers: its id");
  logs_command->add_flag("-f,--follow", logs_options.follow, "Go on until the cluster ends");
  logs_command->add_option("--tail", logs_options.tail, "Only the last lines of each");
  of_cluster(logs_command);
  reports(logs_command);
  logs_command->callback([&] {
    logs_options.cluster = cluster;
    logs_options.format = format();
    code = logs(logs_options);
  });

  auto* doctor_command = app.add_subcommand("doctor", "Check what this machine allows, with remedies");
  bool all_nodes = false;
  bool facts = false;
  doctor_command->add_flag("--all-nodes", all_nodes, "Compare the nodes of the Slurm allocation that this runs in");
  doctor_command->add_flag("--facts", facts)->group("");
  reports(doctor_command);
  doctor_command->callback([&] {
    code = facts ? doctor_facts() : all_nodes ? doctor_all_nodes(format()) : doctor(format());
  });
  BatchOptions batch;
  bool no_requeue = false;
  auto* sbatch_command = app.add_subcommand(
      "sbatch", "Print a job script for Slurm: mobula sbatch -N4 -t 2:00:00 ./app ARGUMENTS > job.sbatch");
  sbatch_command->add_option("-N,--nodes", batch.nodes, "Nodes")->check(CLI::Range(1u, 65536u));
  sbatch_command->add_option("-t,--time", batch.time, "The job's time limit, as sbatch takes it");
  sbatch_command->add_option("-c,--cpus-per-task", batch.cpus_per_task, "CPUs of each node");
  sbatch_command->add_option("--gpus-per-node", batch.gpus_per_node, "GPUs of each node");
  sbatch_command->add_option("--mem", batch.memory, "Memory of each node");
  sbatch_command->add_option("-p,--partition", batch.partition, "The partition");
  sbatch_command->add_option("-A,--account", batch.account, "The account");
  sbatch_command->add_option("--mpi", batch.mpi, "srun's --mpi, where the site's default has no PMI");
  sbatch_command->add_option("--warning", batch.warning_s, "Save state so many seconds before the end; 0: do not");
  sbatch_command->add_flag("--no-requeue", no_requeue,
                           "Do not run the job again when its time is over or its node fails");
  sbatch_command->prefix_command();  // What follows the options is the program.
  sbatch_command->callback([&] {
    batch.requeue = !no_requeue;
    batch.command = sbatch_command->remaining();
    batch.command.insert(batch.command.end(), program.begin(), program.end());
    if (batch.command.empty()) {
      code = (complain("sbatch needs a program: mobula sbatch -N4 ./app"), 2);
    } else {
      std::printf("%s", batch_script(batch).c_str());
    }
  });
  auto* config_command = app.add_subcommand("config", "Print every setting, its value and where it comes from");
  std::string topic;
  config_command->add_option("topic", topic, "collectives: which algorithm each operation uses")
      ->check(CLI::IsMember({"collectives"}));
  reports(config_command);
  config_command->callback([&] { code = config(topic, format()); });
  auto* version_command = app.add_subcommand("version", "Print the version");
  reports(version_command);
  version_command->callback([&] {
    std::printf(json ? "{\"version\":\"%s\",\"wire\":%u}\n" : "mobula %s (wire version %u)\n", base::kVersion,
                base::kWireVersion);
  });
  std::string shell;
  auto* completion_command =
      app.add_subcommand("completion", "Print a completion script: source <(mobula completion bash)");
  completion_command->add_option("shell", shell)->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion_command->callback([&] { std::printf("%s", completion_script(shell, app).value_or("").c_str()); });
  std::string name;
  auto* new_command = app.add_subcommand("new", "Make a project: CMakeLists.txt, main.cpp, job.sbatch");
  new_command->add_option("name", name, "Its directory and program")->required();
  new_command->callback([&] { code = new_project(name); });

  const auto is_typed = [&](const CLI::App* command) { return command->get_name() == arguments[0]; };
  if (!arguments.empty() && !arguments[0].starts_with('-') && app.get_subcommands(is_typed).empty())
    return refuse_command(arguments[0], app);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // As CLI11 takes them.
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) == 0) return 0;
    const bool takes_program = !arguments.empty() && (arguments[0] == "run" || arguments[0] == "submit");
    if (takes_program && program.empty())
      std::fprintf(stderr, "The program goes behind two dashes: mobula %s -- ./app\n", arguments[0].c_str());
    return 2;
  }
  return code;
}

}  // namespace
}  // namespace mobula::cli

int main(int argc, char** argv) {
  if (const auto code = mobula::cluster::run_role_from_environment()) return *code;
  return mobula::cli::main_with(std::vector<std::string>(argv + 1, argv + argc));
}

// doctor --all-nodes: asks each node of the allocation what it is, and says how they differ.
#include <cstdlib>
#include <sstream>

#include "core/cli/commands.h"
#include "core/cli/doctor.h"
#include "core/cli/node_facts.h"
#include "core/os/command.h"
#include "core/os/process.h"
#include "slurm/host_list.h"

namespace mobula::cli {
namespace {

constexpr auto kAnswerTime = std::chrono::seconds(60);

}  // namespace

int doctor_facts() {
  std::printf("%s\n", print(read_node_facts()).c_str());
  return 0;
}

int doctor_all_nodes(Format format) {
  const char* list = std::getenv("SLURM_JOB_NODELIST");
  if (list == nullptr) {
    return complain("doctor --all-nodes is for inside a Slurm allocation: salloc -N4 mobula doctor --all-nodes");
  }
  const auto hosts = slurm::parse_host_list(list);
  if (!hosts) return complain("SLURM_JOB_NODELIST: " + hosts.error().what);
  const std::string count = std::to_string(hosts->size());
  const auto answers =
      os::run_command({{"srun", "--overlap", "--nodes=" + count, "--ntasks=" + count, "--ntasks-per-node=1",
                        "--kill-on-bad-exit=0", os::self_exe(), "doctor", "--facts"},
                       os::environment(),
                       kAnswerTime});
  if (!answers) return complain("the nodes could not be asked: " + answers.error().what);
  std::vector<NodeFacts> nodes;
  std::stringstream lines(*answers);
  for (std::string line; std::getline(lines, line);) {
    if (auto node = parse_node_facts(line)) nodes.push_back(std::move(*node));
  }
  return report(compare_nodes(nodes, *hosts), format);
}

}  // namespace mobula::cli

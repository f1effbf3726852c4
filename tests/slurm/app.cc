// app nodes [CODE]   prints each node's name as a task there sees its host, and where the driver is; ends with CODE
// app cpus           prints the cluster's CPUs
// app environment    prints what a worker sees of the launcher's variables
// app crash          the driver ends by SIGSEGV
// app hold           prints "holding" once a worker runs on each node, and waits
// app throw          a task throws, and nobody catches it
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

std::string host() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}
std::string fail() { throw std::runtime_error("a task fails"); }

std::string launcher_variables() {
  std::string out;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string entry = *at;
    for (const char* prefix : {"PMI_", "PMIX_", "OMPI_", "HYDI_", "MPI_LOCAL", "SLURM_PROCID", "SLURM_LOCALID"}) {
      if (entry.rfind(prefix, 0) == 0) out += entry + " ";
    }
  }
  return out;
}

std::vector<std::string> node_names() {
  std::vector<std::string> out;
  const auto status = nlohmann::json::parse(mobula::cluster_status_json());
  for (const auto& node : status["nodes"]) {
    if (node["state"] == "ALIVE") out.push_back(node["name"]);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void print_nodes() {
  for (const auto& node : node_names()) {
    std::cout << node << " " << mobula::remote<&host>.with({.scheduling = mobula::NodeAffinity{.node = node}})().get()
              << "\n";
  }
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::string what = argc > 1 ? argv[1] : "nodes";
  if (what == "nodes") {
    std::cout << "driver " << host() << "\n";
    print_nodes();
    return argc > 2 ? std::atoi(argv[2]) : 0;
  }
  if (what == "cpus") {
    std::cout << "cpus " << nlohmann::json::parse(mobula::cluster_status_json())["total"]["cpus"] << "\n";
  } else if (what == "environment") {
    std::cout << "variables of the launcher: " << mobula::remote<&launcher_variables>().get() << "\n";
  } else if (what == "crash") {
    print_nodes();
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
  } else if (what == "hold") {
    print_nodes();
    std::cout << "holding" << std::endl;
    for (;;) ::pause();
  } else if (what == "throw") {
    (void)mobula::remote<&fail>().get();
  }
}

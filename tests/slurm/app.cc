// app nodes [CODE]   prints each node's name as a task there sees its host, and where the driver is; ends with CODE
// app cpus           prints the cluster's CPUs
// app lent [NODE]    prints the cluster's CPUs and GPUs, and those that a worker may use
// app environment    prints what a worker sees of the launcher's variables
// app crash          the driver ends by SIGSEGV
// app hold           prints "holding" once a worker runs on each node, and waits
// app throw          a task throws, and nobody catches it
// app say            a worker writes a line
// app where          prints of a worker on each node where it runs: its CPUs and its control group
// app seat           prints the same of itself, and needs no cluster
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
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

void say() { std::cout << "a word of a worker" << std::endl; }

// "cpus LIST group PATH": what the kernel says of this process.
std::string seat() {
  std::string out;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Cpus_allowed_list:", 0) == 0) out = "cpus " + line.substr(line.find_last_of(" \t") + 1);
  }
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.find(":freezer:") != std::string::npos) out += " group " + line.substr(line.rfind(':') + 1);
  }
  return out;
}

// CPUs as the kernel says, and GPUs.
std::string mine() {
  std::ifstream status("/proc/self/status");
  std::string cpus;
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Cpus_allowed_list:", 0) == 0) cpus = line.substr(line.find_last_of("\t ") + 1);
  }
  const char* gpus = std::getenv("CUDA_VISIBLE_DEVICES");
  return "cpus " + cpus + " gpus " + (gpus == nullptr ? "-" : gpus);
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
  if (argc > 1 && std::string(argv[1]) == "seat") return std::cout << seat() << "\n", 0;
  auto session = mobula::init(argc, argv);
  const std::string what = argc > 1 ? argv[1] : "nodes";
  if (what == "nodes") {
    std::cout << "driver " << host() << "\n";
    print_nodes();
    return argc > 2 ? std::atoi(argv[2]) : 0;
  }
  if (what == "cpus") {
    std::cout << "cpus " << nlohmann::json::parse(mobula::cluster_status_json())["total"]["cpus"] << "\n";
  } else if (what == "say") {
    mobula::remote<&say>().get();
  } else if (what == "where") {
    for (const auto& node : node_names()) {
      const auto there = mobula::remote<&seat>.with({.scheduling = mobula::NodeAffinity{.node = node}})().get();
      std::cout << "worker " << node << " " << there << std::endl;
    }
  } else if (what == "lent") {
    const auto total = nlohmann::json::parse(mobula::cluster_status_json())["total"];
    std::cout << "cluster: cpus " << total["cpus"] << " gpus " << total.value("gpus", 0.0) << "\n";
    const std::string node = argc > 2 ? argv[2] : host();
    std::cout << "worker: " << mobula::remote<&mine>.with({.scheduling = mobula::NodeAffinity{.node = node}})().get()
              << "\n";
    std::cout << "driver: " << mine() << "\n";
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

#include "core/cluster/lent.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "core/os/affinity.h"
#include "core/os/log.h"

namespace mobula::cluster {
namespace {

constexpr const char* kVisible = "CUDA_VISIBLE_DEVICES";

std::vector<std::string> parts_of(const std::string& list) {
  std::vector<std::string> out;
  std::stringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}

}  // namespace

slurm::Share share_of_this_task(std::uint32_t local_rank) {
  const char* visible = std::getenv(kVisible);
  return {.local_rank = local_rank, .cpus = os::cpus_allowed(), .gpus = visible == nullptr ? "" : visible};
}

std::vector<std::uint32_t> all_cpus(const std::vector<slurm::Share>& shares) {
  std::set<std::uint32_t> out;
  for (const auto& share : shares) out.insert(share.cpus.begin(), share.cpus.end());
  return {out.begin(), out.end()};
}

std::optional<std::string> all_gpus(const std::vector<slurm::Share>& shares) {
  std::vector<std::string> gpus;
  for (const auto& share : shares) {
    if (share.gpus.empty()) return std::nullopt;
    for (auto& gpu : parts_of(share.gpus)) {
      if (std::find(gpus.begin(), gpus.end(), gpu) == gpus.end()) gpus.push_back(std::move(gpu));
    }
  }
  std::string out;
  for (const auto& gpu : gpus) out += (out.empty() ? "" : ",") + gpu;
  return out;
}

std::size_t count_gpus(const std::string& visible) { return parts_of(visible).size(); }

unsigned cpus_by_slurm(const slurm::Identity& self) {
  if (self.launcher != slurm::Launcher::kSrun) return 0;
  return static_cast<unsigned>(std::strtoul(self.cpus_on_node.c_str(), nullptr, 10));
}

LentToChildren::LentToChildren(const std::vector<std::uint32_t>& cpus, const std::optional<std::string>& gpus)
    : cpus_before_(os::cpus_allowed()), has_gpus_(gpus.has_value()) {
  if (const auto allowed = os::allow_cpus(cpus); !allowed) {
    os::log(os::LogLevel::kWarn, "this node's raylet keeps the CPUs of one task: {}", allowed.error().what);
  }
  if (!has_gpus_) return;
  if (const char* before = std::getenv(kVisible)) gpus_before_ = before;
  ::setenv(kVisible, gpus->c_str(), 1);
}

LentToChildren::~LentToChildren() {
  (void)os::allow_cpus(cpus_before_);
  if (has_gpus_ && gpus_before_) ::setenv(kVisible, gpus_before_->c_str(), 1);
}

}  // namespace mobula::cluster

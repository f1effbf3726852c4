#include "scheduler/node_room.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>

namespace mobula::scheduler {
namespace {

using base::Amount;
using base::CpuSet;
using base::TopologyLevel;

constexpr Amount kOne{Amount::kPerOne};
constexpr TopologyLevel kInside[] = {TopologyLevel::kCore, TopologyLevel::kL3, TopologyLevel::kNuma,
                                     TopologyLevel::kPackage, TopologyLevel::kNode};

unsigned whole(Amount amount) { return static_cast<unsigned>((amount.units + Amount::kPerOne - 1) / Amount::kPerOne); }

bool is_whole(Amount amount) { return amount.units % Amount::kPerOne == 0; }

}  // namespace

NodeRoom::NodeRoom(base::NodeId node, const base::Topology& topology, base::Resources total)
    : node_(node), topology_(&topology), total_(std::move(total)), room_(total_) {
  all_pus_ = topology_->all_pus();
  free_pus_ = all_pus_;
  binds_ = !all_pus_.empty() && whole(total_.get("cpus")) <= all_pus_.count();
  // GPUs that the topology does not know are counted all the same.
  gpu_room_.assign(std::max<std::size_t>(whole(total_.get("gpus")), 0), kOne);
  nic_users_.assign(topology_->nics.size(), 0);
}

std::uint16_t NodeRoom::domains(TopologyLevel level) const {
  return binds_ ? std::max<std::uint16_t>(topology_->count(level), 1) : std::uint16_t{1};
}

CpuSet NodeRoom::domain(TopologyLevel level, std::uint16_t index) const {
  return binds_ ? topology_->pus_of(level, index) : all_pus_;
}

std::optional<Pieces> NodeRoom::choose(const base::Resources& shape, const CpuSet& within) const {
  if (!room_.covers(shape)) return std::nullopt;
  Pieces out;
  const Amount gpus = shape.get("gpus");
  if (gpus.units > 0) {
    auto chosen = choose_gpus(gpus, within);
    if (!chosen) return std::nullopt;
    out.gpus = std::move(*chosen);
    out.gpu_share = is_whole(gpus) ? kOne : gpus;
  }
  const Amount cpus = shape.get("cpus");
  if (binds_ && cpus.units > 0) {
    CpuSet near = within;
    for (const std::uint16_t gpu : out.gpus) {
      if (gpu < topology_->gpus.size()) near &= topology_->gpus[gpu].near;
    }
    auto pus = choose_pus(whole(cpus), near);
    if (!pus) pus = choose_pus(whole(cpus), within);
    if (!pus && is_whole(cpus)) return std::nullopt;
    if (!pus && within != all_pus_) return std::nullopt;  // A fraction finds no PU of its own: not in this domain.
    if (pus) out.pus = std::move(*pus);
  }
  out.nic = choose_nic(out);
  return out;
}

// A part of a GPU goes where others share already; whole ones are chosen in order, those that are best linked to the
// first one before others.
std::optional<std::vector<std::uint16_t>> NodeRoom::choose_gpus(Amount gpus, const CpuSet& within) const {
  const auto is_near = [&](std::uint16_t gpu) {
    return !binds_ || gpu >= topology_->gpus.size() || within == all_pus_ ||
           topology_->gpus[gpu].near.intersects(within);
  };
  if (!is_whole(gpus)) {
    if (gpus > kOne) return std::nullopt;  // One and a half GPUs are no thing that a process can be given.
    std::optional<std::uint16_t> best;
    for (std::uint16_t gpu = 0; gpu < gpu_room_.size(); ++gpu) {
      if (gpu_room_[gpu] < gpus || !is_near(gpu)) continue;
      if (!best || gpu_room_[gpu] < gpu_room_[*best]) best = gpu;
    }
    if (!best) return std::nullopt;
    return std::vector{*best};
  }
  std::vector<std::uint16_t> free;
  for (std::uint16_t gpu = 0; gpu < gpu_room_.size(); ++gpu) {
    if (gpu_room_[gpu] == kOne && is_near(gpu)) free.push_back(gpu);
  }
  const std::size_t count = whole(gpus);
  if (free.size() < count) return std::nullopt;
  const std::size_t side = topology_->gpus.size();
  const auto link = [&](std::uint16_t a, std::uint16_t b) -> std::uint32_t {
    if (a >= side || b >= side) return 0;
    if (!topology_->gpu_links.empty()) return topology_->gpu_links[a * side + b];
    return topology_->gpus[a].near == topology_->gpus[b].near ? 1 : 0;
  };
  std::vector<std::uint16_t> out{free.front()};
  free.erase(free.begin());
  while (out.size() < count) {
    const auto worth = [&](std::uint16_t gpu) {
      std::uint64_t sum = 0, same = 0;
      for (const std::uint16_t other : out) {
        sum += link(gpu, other);
        same += gpu < side && other < side && topology_->gpus[gpu].near == topology_->gpus[other].near;
      }
      return std::pair(sum, same);
    };
    const auto best = std::max_element(free.begin(), free.end(), [&](auto a, auto b) { return worth(a) < worth(b); });
    out.push_back(*best);
    free.erase(best);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The smallest domain that holds so many, the one with least left over, and there the first: so ranks lie side by side
// and large domains stay whole.
std::optional<CpuSet> NodeRoom::choose_pus(unsigned count, const CpuSet& within) const {
  for (const TopologyLevel level : kInside) {
    std::optional<std::pair<unsigned, std::uint16_t>> best;  // Free PUs, domain.
    std::vector<unsigned> free(topology_->count(level), 0);
    for (const auto& pu : topology_->pus) {
      if (free_pus_.contains(pu.os) && within.contains(pu.os)) ++free[base::Topology::domain_of(pu, level)];
    }
    for (std::uint16_t d = 0; d < free.size(); ++d) {
      if (free[d] < count || (best && best->first <= free[d])) continue;
      best = {free[d], d};
    }
    if (!best) continue;
    CpuSet out;
    unsigned left = count;
    std::optional<std::uint16_t> core_of;  // PUs of a core stand side by side.
    CpuSet core;
    // Cores that are wholly free come first: a sibling of somebody else's PU is a slow one.
    for (const bool whole_core : {true, false}) {
      for (const auto& pu : topology_->pus) {
        if (left == 0) break;
        if (base::Topology::domain_of(pu, level) != best->second || out.contains(pu.os)) continue;
        if (!free_pus_.contains(pu.os) || !within.contains(pu.os)) continue;
        if (whole_core) {
          if (core_of != pu.core) core = topology_->pus_of(TopologyLevel::kCore, pu.core);
          core_of = pu.core;
          if (!free_pus_.covers(core) || core.count() > left + (core & out).count()) continue;
        }
        out.add(pu.os);
        --left;
      }
    }
    return out;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> NodeRoom::choose_nic(const Pieces& pieces) const {
  const std::size_t side = topology_->nics.size();
  if (side == 0) return std::nullopt;
  const base::Topology::Device* gpu = nullptr;
  if (!pieces.gpus.empty() && pieces.gpus.front() < topology_->gpus.size()) gpu = &topology_->gpus[pieces.gpus.front()];
  std::optional<std::uint16_t> best;
  std::tuple<int, std::uint32_t> least{};
  for (std::uint16_t nic = 0; nic < side; ++nic) {
    const auto& device = topology_->nics[nic];
    int distance = 2;
    if (gpu != nullptr && gpu->pci_switch != 0 && gpu->pci_switch == device.pci_switch) {
      distance = 0;
    } else if (device.near.intersects(gpu != nullptr ? gpu->near : pieces.pus)) {
      distance = 1;
    }
    const std::tuple rank{distance, nic_users_[nic]};
    if (best && least <= rank) continue;
    best = nic;
    least = rank;
  }
  return best;
}

bool NodeRoom::has(const base::Resources& shape, const Pieces& pieces) const {
  if (!room_.covers(shape) || !free_pus_.covers(pieces.pus)) return false;
  return std::all_of(pieces.gpus.begin(), pieces.gpus.end(),
                     [&](std::uint16_t gpu) { return gpu < gpu_room_.size() && gpu_room_[gpu] >= pieces.gpu_share; });
}

void NodeRoom::take(const base::Resources& shape, const Pieces& pieces) {
  room_.subtract(shape);
  take_pieces(pieces);
}

void NodeRoom::give_back(const base::Resources& shape, const Pieces& pieces) {
  room_.add(shape);
  give_back_pieces(pieces);
}

void NodeRoom::limit(const CpuSet& free_pus, const std::vector<Amount>& gpu_room) {
  free_pus_ &= free_pus;
  for (std::size_t gpu = 0; gpu < std::min(gpu_room_.size(), gpu_room.size()); ++gpu) {
    gpu_room_[gpu] = std::min(gpu_room_[gpu], gpu_room[gpu]);
  }
}

void NodeRoom::take_pieces(const Pieces& pieces) {
  free_pus_ -= pieces.pus;
  for (const std::uint16_t gpu : pieces.gpus) {
    if (gpu < gpu_room_.size()) gpu_room_[gpu].units -= pieces.gpu_share.units;
  }
  if (pieces.nic && *pieces.nic < nic_users_.size()) ++nic_users_[*pieces.nic];
}

void NodeRoom::give_back_pieces(const Pieces& pieces) {
  free_pus_ |= pieces.pus & all_pus_;
  for (const std::uint16_t gpu : pieces.gpus) {
    if (gpu < gpu_room_.size()) gpu_room_[gpu].units += pieces.gpu_share.units;
  }
  if (pieces.nic && *pieces.nic < nic_users_.size()) --nic_users_[*pieces.nic];
}

}  // namespace mobula::scheduler

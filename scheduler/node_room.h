#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/cpu_set.h"
#include "core/base/ids.h"
#include "core/base/resources.h"
#include "core/base/topology.h"
#include "scheduler/strategy.h"

namespace mobula::scheduler {

// The pieces of a node that something was given.
struct Pieces {
  base::CpuSet pus;                  // Nobody else's; empty: not bound.
  std::vector<std::uint16_t> gpus;   // Of Topology::gpus; one that is shared is listed by each of its users.
  base::Amount gpu_share;            // Taken of each of them: one, or a part of a single one.
  std::optional<std::uint16_t> nic;  // The nearest; shared.

  auto operator<=>(const Pieces&) const = default;
};

// What is free on a node, piece by piece: a value that placement takes from and gives back to.
//
// One cpu is one PU.  A node that offers more cpus than it has PUs binds nothing.  A shape of a fraction of a cpu
// takes a whole PU while there are any.
class NodeRoom {
 public:
  NodeRoom() = default;
  // The topology is somebody else's and outlives every copy of this.
  NodeRoom(base::NodeId node, const base::Topology& topology, base::Resources total);

  const base::NodeId& node() const { return node_; }
  const base::Topology& topology() const { return *topology_; }
  const base::Resources& total() const { return total_; }
  const base::Resources& room() const { return room_; }
  void set_room(base::Resources room) { room_ = std::move(room); }
  bool binds() const { return binds_; }
  const base::CpuSet& all_pus() const { return all_pus_; }
  const base::CpuSet& free_pus() const { return free_pus_; }
  const std::vector<base::Amount>& gpu_room() const { return gpu_room_; }

  // How many domains it has at the level, at least one; and the PUs of each (all of them where nothing is bound).
  std::uint16_t domains(base::TopologyLevel level) const;
  base::CpuSet domain(base::TopologyLevel level, std::uint16_t index) const;

  // Pieces for the shape inside `within` (all PUs: anywhere): GPUs first, then the PUs that lie closest together and
  // nearest to them, then the NIC.  None when it does not fit.  Takes nothing.
  std::optional<Pieces> choose(const base::Resources& shape, const base::CpuSet& within) const;
  // True when exactly these pieces, and the amounts, are free.
  bool has(const base::Resources& shape, const Pieces& pieces) const;
  void take(const base::Resources& shape, const Pieces& pieces);
  void give_back(const base::Resources& shape, const Pieces& pieces);
  // Pieces that somebody else holds, without the amounts.
  // Others hold what is not in these: until then it was thought free.
  void limit(const base::CpuSet& free_pus, const std::vector<base::Amount>& gpu_room);
  void take_pieces(const Pieces& pieces);
  void give_back_pieces(const Pieces& pieces);

 private:
  std::optional<std::vector<std::uint16_t>> choose_gpus(base::Amount gpus, const base::CpuSet& within) const;
  std::optional<base::CpuSet> choose_pus(unsigned count, const base::CpuSet& within) const;
  std::optional<std::uint16_t> choose_nic(const Pieces& pieces) const;

  base::NodeId node_;
  const base::Topology* topology_ = nullptr;
  base::Resources total_, room_;
  bool binds_ = false;
  base::CpuSet all_pus_, free_pus_;
  std::vector<base::Amount> gpu_room_;
  std::vector<std::uint32_t> nic_users_;
};

}  // namespace mobula::scheduler

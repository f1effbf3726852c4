#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/resources.h"
#include "core/base/topology.h"
#include "scheduler/node_room.h"
#include "scheduler/strategy.h"

namespace mobula::scheduler {

enum class GroupStrategy : std::uint8_t {
  kPack = 1,      // As few domains as will do.
  kSpread,        // As many as there are.
  kStrictPack,    // One domain, or nothing.
  kStrictSpread,  // A domain for each bundle, or nothing.
};
const char* name_of(GroupStrategy strategy);  // "STRICT_PACK"

// What a placement group asks for.  Each bundle lies on one node.
struct GroupWish {
  GroupStrategy strategy = GroupStrategy::kPack;
  base::LevelName level;          // Of what its bundles share, or must not share, a domain.
  std::vector<LabelRule> labels;  // Nodes that may serve.
  std::vector<base::Resources> bundles;
};

// A node that may serve, as it seems now.
struct PlacementNode {
  NodeRoom room;
  Labels labels;
  bool usable = true;  // False: what is there counts, nothing new comes.
};
// As the network has them: nodes of one switch stand together, and switches of one spine.
bool network_before(const PlacementNode& a, const PlacementNode& b);

struct PlacedBundle {
  std::uint32_t bundle = 0;
  base::NodeId node;
  Pieces pieces;
  auto operator<=>(const PlacedBundle&) const = default;
};

// Why a wish could not be met.
struct PlacementFailure {
  std::uint32_t bundle = 0;             // The first one without a place.
  std::string what;                     // One sentence: resource, amount, nearest node.
  std::optional<base::NodeId> nearest;  // The node that lacks least.
};

struct Placement {
  std::vector<PlacedBundle> bundles;  // In the order of the wish, when all have a place.
  std::optional<PlacementFailure> failure;
};

// Finds a place for `bundles` (indices into the wish) beside those that are `placed` already, whose pieces the nodes no
// longer have.  A pure function: same nodes, same answer.  REQUIRES: the nodes are sorted by network_before().
//
// Bundles follow the topology: the order of the nodes, and inside a node that of its tree, so that bundle 0 lies next
// to bundle 1.  Where that order finds no place, a second try takes the largest bundles first.
Placement place_group(const GroupWish& wish, const std::vector<std::uint32_t>& bundles,
                      const std::vector<PlacedBundle>& placed, const std::vector<PlacementNode>& nodes);

}  // namespace mobula::scheduler

#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "core/base/ids.h"

namespace mobula::scheduler {

using Labels = std::map<std::string, std::string>;

// One condition on a node's label: "zone in (a, b)", "gpu-type not in (t4)", "ssd exists".
struct LabelRule {
  enum class Op : unsigned char { kIn = 1, kNotIn, kExists, kNotExists };

  std::string key;
  Op op = Op::kExists;
  std::vector<std::string> values;  // Of kIn and kNotIn.

  bool holds(const Labels& labels) const;
  auto operator<=>(const LabelRule&) const = default;
};

// Fills the owner's node first, then other nodes up to half, then the least used.
struct PackThenSpread {
  auto operator<=>(const PackThenSpread&) const = default;
};
// Takes the least used of all nodes, the owner's own included.
struct Spread {
  auto operator<=>(const Spread&) const = default;
};
// kHard: that node or none.  kSoft: that node while it lives and could ever serve, else PackThenSpread.
struct NodeAffinity {
  enum class Force : unsigned char { kHard = 1, kSoft };

  base::NodeId node;
  Force force = Force::kHard;
  auto operator<=>(const NodeAffinity&) const = default;
};

// A bundle of a placement group: what runs there takes from what the bundle has reserved.
struct BundleRef {
  static constexpr std::int32_t kAny = -1;  // Whichever of the group has room.
  base::PlacementGroupId group;             // Nil: no group.
  std::int32_t index = kAny;

  explicit operator bool() const { return !group.is_nil(); }
  auto operator<=>(const BundleRef&) const = default;
};

// Where something may run and where it had better run.  A value; part of a scheduling key.
struct Strategy {
  std::variant<PackThenSpread, Spread, NodeAffinity> placement;
  std::vector<LabelRule> labels;  // All of them must hold.
  BundleRef bundle;               // Then only nodes where such a bundle lies will do.

  // True unless a label rule or a hard affinity rules the node out.
  bool allows(const base::NodeId& node, const Labels& labels_of_node) const;
  auto operator<=>(const Strategy&) const = default;
};

}  // namespace mobula::scheduler

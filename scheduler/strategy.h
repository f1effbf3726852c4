#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/ids.h"
#include "core/base/result.h"

namespace mobula::scheduler {

using Labels = std::map<std::string, std::string>;
// What the actors of one node are labelled with; several values of one label may live side by side.
using ActorLabels = std::set<std::pair<std::string, std::string>>;

// The label that says which kind of GPU a node has.
inline constexpr const char* kAcceleratorLabel = "mobula.node/accelerator";

// One condition on a label: "zone in (a, b)", "gpu-type not in (t4)", "ssd exists".
struct LabelRule {
  enum class Op : unsigned char { kIn = 1, kNotIn, kExists, kNotExists };

  std::string key;
  Op op = Op::kExists;
  std::vector<std::string> values;  // Of kIn and kNotIn.

  bool holds(const Labels& labels) const;
  // Of kIn and kExists: some actor there; of kNotIn and kNotExists: none.
  bool holds(const ActorLabels& labels) const;
  std::string to_string() const;  // "zone in(a,b)"
  auto operator<=>(const LabelRule&) const = default;
};
using LabelRules = std::vector<LabelRule>;

// "v", "!v", "in(a,b)", "!in(a,b)", "exists", "!exists" for one label; kInvalid when it is none of these.
base::Result<LabelRule> parse_label_rule(const std::string& key, const std::string& selector);
bool all_hold(const LabelRules& rules, const Labels& labels);

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
  std::string name{};  // As it was asked for.
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

inline constexpr std::int32_t kPriorityMax = 1000;

// Where something may run, where it had better run, and how urgent it is.  A value; part of a scheduling key.
struct Strategy {
  std::variant<PackThenSpread, Spread, NodeAffinity> placement;
  LabelRules labels;                  // All of them must hold,
  std::vector<LabelRules> fallbacks;  // or all of one of these: in turn, where no node before has room.
  BundleRef bundle;                   // Then only nodes where such a bundle lies will do.
  LabelRules beside;                  // Of the actors that live there now: waits, and reserves nothing.
  std::int32_t priority = 0;          // Higher ones are served first.

  // How far down the node is: 0 meets `labels`, 1 the first fallback; none when it is ruled out for good.
  std::optional<std::size_t> preference(const base::NodeId& node, const Labels& labels_of_node) const;
  bool allows(const base::NodeId& node, const Labels& labels_of_node) const {
    return preference(node, labels_of_node).has_value();
  }
  bool allows_beside(const ActorLabels& actors) const;
  auto operator<=>(const Strategy&) const = default;
};

}  // namespace mobula::scheduler

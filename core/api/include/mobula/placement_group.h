#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mobula/options.h"
#include "mobula/ref.h"
#include "mobula/wait.h"

namespace mobula {

// Names resources that lie together, or apart, as they were asked for: bundles 0, 1, ... in the order of the topology.
// Tasks and actors run inside with .with({.placement_group = pg, .bundle = 0}).  Copies name the same group.
//
// It ends with remove(), with the process that made it, or with its job, unless it is detached: then whatever runs
// inside is killed.  A bundle that is lost with its node is placed anew, before new groups; what ran inside is retried
// as after any death of a node.
// Any thread.  It owns nothing in this process.
class PlacementGroup {
 public:
  PlacementGroup() = default;
  explicit PlacementGroup(runtime::GroupHandleInfo info) : info_(info) {}

  // Has no value; ready once every bundle is there.  Its error is Unschedulable when that can never be.
  [[nodiscard]] Ref<void> ready() const;
  // Whether it is created; waits for that at most so long.  Throws Unschedulable when that can never be.
  bool wait(TimeLimit limit = {}) const;
  std::size_t size() const { return info_.bundles; }  // Bundles.

  const base::PlacementGroupId& id() const { return info_.id; }
  operator PlacementGroupView() const { return {info_.id}; }
  explicit operator bool() const { return !info_.id.is_nil(); }

 private:
  runtime::GroupHandleInfo info_;
};

// placement_group({{.cpus = 2}, {.gpus = 1}}, {.placement = Placement::strict_pack, .level = "numa"}) asks for a group
// and returns at once.  placement_group.with({...})({...}) is the same.
class PlacementGroupFactory {
 public:
  PlacementGroupFactory() = default;
  PlacementGroupFactory with(const PlacementGroupOptions& options) const;

  [[nodiscard]] PlacementGroup operator()(std::initializer_list<Bundle> bundles) const {
    return make(std::span<const Bundle>(bundles.begin(), bundles.size()), nullptr);
  }
  [[nodiscard]] PlacementGroup operator()(std::initializer_list<Bundle> bundles,
                                          const PlacementGroupOptions& options) const {
    return make(std::span<const Bundle>(bundles.begin(), bundles.size()), &options);
  }
  [[nodiscard]] PlacementGroup operator()(const std::vector<Bundle>& bundles) const { return make(bundles, nullptr); }
  [[nodiscard]] PlacementGroup operator()(const std::vector<Bundle>& bundles,
                                          const PlacementGroupOptions& options) const {
    return make(bundles, &options);
  }

 private:
  PlacementGroup make(std::span<const Bundle> bundles, const PlacementGroupOptions* options) const;
  std::shared_ptr<const runtime::GroupSpecOptions> spec_;
};
inline const PlacementGroupFactory placement_group{};

// The group of that name in the namespace (empty: the job's own).  Throws InvalidArgument when there is none.
[[nodiscard]] PlacementGroup get_placement_group(std::string_view name, std::string_view ns = {});

// Ends the group: kills what runs inside and gives its resources back.  Harmless for one that is over.
void remove(const PlacementGroup& group);

namespace detail {
template <>
inline constexpr bool kSpecialised<PlacementGroup> = true;
template <>
struct Codec<PlacementGroup> {
  static void encode(Encoder& out, const PlacementGroup& v) {
    out.put(v.id());
    out.put(static_cast<std::uint32_t>(v.size()));
  }
  static PlacementGroup decode(Decoder& in) {
    const auto id = in.get<base::PlacementGroupId>();
    return PlacementGroup({id, in.get<std::uint32_t>()});
  }
};
}  // namespace detail

}  // namespace mobula

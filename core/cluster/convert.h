#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/resources.h"
#include "core/base/result.h"
#include "scheduler/bundle_messages.h"
#include "scheduler/cluster_view.h"
#include "scheduler/strategy.h"

// Between the control plane's messages and the values that the decisions work with.  What comes from outside is checked
// here, once.
namespace mobula::cluster {

// kInvalid: negative or absurd amounts, too many or too long names.
base::Result<base::Resources> to_resources(const proto::ResourceSet& set);
proto::ResourceSet to_proto(const base::Resources& resources);

// Selectors by label, in the order of the labels; kInvalid when one is malformed or there are too many.
using SelectorMap = google::protobuf::Map<std::string, std::string>;
base::Result<scheduler::LabelRules> to_label_rules(const SelectorMap& selectors);

// `node` of an affinity is a hex id, a prefix of one, or a node's or host's name: `resolve` finds it.  A node that is
// not found becomes the nil id, which no node has.
using ResolveNode = std::function<std::optional<base::NodeId>(const std::string& node)>;
base::Result<scheduler::Strategy> to_strategy(const proto::Strategy& strategy, const ResolveNode& resolve);

// kInvalid: an index below -1.
base::Result<scheduler::BundleRef> to_bundle_ref(const std::string& group, std::int32_t index);
proto::Bundle to_proto(const scheduler::HeldBundle& bundle);
base::Result<scheduler::HeldBundle> to_held_bundle(const proto::Bundle& bundle);
// What a raylet and the actors have to know of a group.
scheduler::GroupNews to_news(const proto::GroupInfo& info);

// The id, or the nil one when there are not exactly 28 bytes.
template <class Id>
Id to_id(const std::string& bytes) {
  return Id::from_string(bytes).value_or(Id{});
}

// A node's standing facts are its registration, which travels through the decisions as opaque bytes.
proto::NodeInfo to_node_info(const scheduler::NodeView& view, std::uint64_t incarnation, const std::string& why);
base::Result<scheduler::NodeView> to_node_view(const proto::NodeInfo& info);

}  // namespace mobula::cluster

#include "core/worker/group_client.h"

#include <memory>
#include <optional>
#include <utility>

#include "core/worker/address.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::ErrorKind;

constexpr auto kGcsTimeout = std::chrono::seconds(30);

ErrorInfo never_ready(const proto::GroupInfo& info) {
  ErrorInfo error;
  error.kind = ErrorKind::kUnschedulable;
  const bool infeasible = info.state() == proto::GroupInfo::INFEASIBLE;
  error.what = infeasible ? "the placement group can never be created: " + info.why()
                          : "the placement group is over: " + info.why();
  if (!info.name().empty()) error.evidence.push_back("its name is " + info.name());
  if (!info.nearest_node().empty()) error.evidence.push_back("the nearest node is " + info.nearest_node());
  if (infeasible) error.remedy = "ask for smaller bundles, a softer placement or a higher level; see mobula topo";
  return error;
}

}  // namespace

// REQUIRES: the engine's lock is not held.
template <class Reply>
Result<Reply> GroupClient::ask(proto::MessageType type, const google::protobuf::MessageLite& request) {
  Engine::Lock lock(p_.engine);
  auto answer = std::make_shared<std::optional<Result<Reply>>>();
  p_.raylet.rpc().ask<Reply>(type, request, kGcsTimeout, [this, answer](Result<Reply> reply) {
    *answer = std::move(reply);
    p_.engine.notify();
  });
  p_.engine.wait(
      lock, [&] { return answer->has_value(); }, std::nullopt);
  return std::move(**answer);
}

Result<GroupHandleInfo> GroupClient::create_group(const GroupSpecOptions& options) {
  proto::GroupSpec spec;
  base::PlacementGroupId id;
  {
    Engine::Lock lock(p_.engine);
    id = base::PlacementGroupId::from_bytes(p_.scopes.next_task().words.data());
    *spec.mutable_owner() = to_proto(p_.links.self());
  }
  spec.set_group_id(id.bytes());
  spec.set_job_id(job_.bytes());
  spec.set_name(options.name);
  spec.set_ns(options.ns.empty() ? ns_ : options.ns);
  spec.set_detached(options.detached);
  spec.set_placement(static_cast<proto::GroupSpec::Placement>(options.placement));
  spec.set_level(options.level);
  spec.set_members(options.members);
  for (const auto& [key, selector] : options.labels) (*spec.mutable_labels())[key] = selector;
  for (const base::Resources& shape : options.bundles) {
    auto& units = *spec.add_bundles()->mutable_units();
    for (const auto& [name, amount] : shape.all()) units[name] = amount.units;
  }
  spec.set_capture_child_tasks(options.capture_child_tasks);
  const auto info = ask<proto::GroupInfo>(proto::CREATE_GROUP, spec);
  if (!info) return info.error();
  return GroupHandleInfo{id, info->bundle_count()};
}

Result<GroupHandleInfo> GroupClient::get_group(const std::string& name, const std::string& ns) {
  proto::GroupQuery query;
  query.set_name(name);
  query.set_ns(ns.empty() ? ns_ : ns);
  const auto info = ask<proto::GroupInfo>(proto::GET_GROUP, query);
  if (!info) return info.error();
  const auto id = base::PlacementGroupId::from_string(info->group_id());
  return GroupHandleInfo{id.value_or(base::PlacementGroupId{}), info->bundle_count()};
}

ObjectRef GroupClient::group_ready(const base::PlacementGroupId& group) {
  proto::GroupQuery query;
  query.set_group_id(group.bytes());
  Engine::Lock lock(p_.engine);
  ObjectRef ref(p_.references.make(p_.scopes.next_put()));
  p_.engine.work_began();
  p_.raylet.rpc().ask<proto::GroupInfo>(proto::WAIT_GROUP, query, rpc::kNoDeadline,
                                        [this, ref](Result<proto::GroupInfo> info) {
                                          settle(ref, info);
                                          p_.engine.work_ended();
                                          p_.engine.notify();
                                        });
  return ref;
}

void GroupClient::settle(const ObjectRef& ref, const Result<proto::GroupInfo>& info) {
  if (ref->settled()) return;
  if (info && info->state() == proto::GroupInfo::CREATED) {
    Encoder nothing;
    base::Buffer payload;
    nothing.flatten(payload.extend(nothing.payload_bytes()));
    local(ref).settle_inline(payload.view());
  } else if (info) {
    local(ref).settle_error(never_ready(*info));
  } else {
    ErrorInfo error;
    error.kind = info.error().code == Code::kNotFound ? ErrorKind::kUnschedulable : ErrorKind::kClusterDown;
    error.what = info.error().what;
    local(ref).settle_error(std::move(error));
  }
  p_.references.values().settled(local(ref));
}

Result<void> GroupClient::remove_group(const base::PlacementGroupId& group) {
  proto::GroupQuery query;
  query.set_group_id(group.bytes());
  const auto done = ask<proto::Empty>(proto::REMOVE_GROUP, query);
  if (!done) return done.error();
  return {};
}

}  // namespace mobula::runtime

#pragma once

#include <string>

#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/raylet_link.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"
#include "core/worker/thread_context.h"

namespace mobula::runtime {

// Placement groups as a process asks the GCS for them, through its raylet.
//
// Any thread; takes the engine's lock itself.
class GroupClient final : public PlacementGroups {
 public:
  struct Parts {
    Engine& engine;
    Links& links;
    RayletLink& raylet;
    References& references;
    Scopes& scopes;
  };
  GroupClient(Parts parts, base::JobId job, std::string ns) : p_(parts), job_(job), ns_(std::move(ns)) {}

  Result<GroupHandleInfo> create_group(const GroupSpecOptions& options) override;
  Result<GroupHandleInfo> get_group(const std::string& name, const std::string& ns) override;
  ObjectRef group_ready(const base::PlacementGroupId& group) override;
  Result<void> remove_group(const base::PlacementGroupId& group) override;

 private:
  template <class Reply>
  Result<Reply> ask(proto::MessageType type, const google::protobuf::MessageLite& request);
  void settle(const ObjectRef& ref, const Result<proto::GroupInfo>& info);

  Parts p_;
  const base::JobId job_;
  const std::string ns_;
};

}  // namespace mobula::runtime

#pragma once

#include <functional>
#include <map>
#include <set>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/raylet/gcs_link.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// Which processes of this node watch which actors: the GCS tells the node once, the node tells its processes.
class ActorWatch {
 public:
  using FindClient = std::function<rpc::Rpc*(const base::WorkerId&)>;
  ActorWatch(GcsLink& gcs, FindClient client) : gcs_(gcs), client_(std::move(client)) {}

  void serve(rpc::Rpc& rpc, const base::WorkerId& watcher);  // SUBSCRIBE_ACTOR.
  void changed(const proto::ActorInfo& info);
  void forget(const base::WorkerId& watcher);

 private:
  GcsLink& gcs_;
  const FindClient client_;
  std::map<base::ActorId, std::set<base::WorkerId>> watchers_;
};

}  // namespace mobula::raylet

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/base/proto/control.pb.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// The raylet's channel to the GCS.  Running work needs nothing of it, but its close is the end of the cluster, since
// the GCS keeps its state in memory.
class GcsLink {
 public:
  struct Events {
    std::function<void(const proto::NodeRegistered&)> registered;
    std::function<void(const proto::ClusterView&)> view;
    std::function<void(const proto::ActorLease&)> actor_lease;
    std::function<void(const proto::ActorInfo&)> actor_changed;
    std::function<void(const proto::BundleHold&)> bundles;
    std::function<void(const proto::GroupInfo&)> group_changed;
    std::function<void(const proto::JobInfo&)> job_started;
    std::function<void(const proto::JobFinished&, rpc::Responder)> job_ended;
    std::function<void(const proto::TimeLimit&)> time_limit;
    std::function<void(const proto::SaveState&, rpc::Responder)> save_state;
    std::function<void(const std::string& why)> fenced;
    std::function<void(const base::Error& why)> closed;  // Refused, too.
  };
  GcsLink(os::EventLoop& loop, Events events) : loop_(loop), events_(std::move(events)) {}

  base::Result<void> connect(const std::string& address, const transport::ChannelOptions& options,
                             const proto::NodeRegister& self);
  // The requests of this node's processes that are the GCS's to answer.
  void serve(rpc::Rpc& client);
  static bool is_for_gcs(proto::MessageType type);

  template <class Reply, class Done>
  void ask(proto::MessageType type, const google::protobuf::MessageLite& request, base::Duration timeout, Done done) {
    if (rpc_ != nullptr) return rpc_->ask<Reply>(type, request, timeout, std::move(done));
    done(base::Result<Reply>(base::Error{base::Code::kUnavailable, "the GCS is gone"}));
  }
  void notify(proto::MessageType type, const google::protobuf::MessageLite& message) {
    if (rpc_ != nullptr) (void)rpc_->notify(type, message);
  }
  void close() { rpc_.reset(); }

 private:
  os::EventLoop& loop_;
  const Events events_;
  std::unique_ptr<rpc::Rpc> rpc_;
};

}  // namespace mobula::raylet

#include "core/raylet/gcs_link.h"

#include <utility>

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr auto kRegisterTimeout = std::chrono::seconds(10);

}  // namespace

Result<void> GcsLink::connect(const std::string& address, const transport::ChannelOptions& options,
                              const proto::NodeRegister& self) {
  auto rpc = rpc::Rpc::connect(loop_, address, options, {.ready = nullptr, .closed = [this](const Error& why) {
                                                           const auto gone = std::move(rpc_);
                                                           events_.closed({why.code, "the GCS is gone: " + why.what});
                                                         }});
  if (!rpc) return rpc.error();
  rpc_ = std::move(*rpc);
  rpc_->on<proto::ClusterView>(proto::CLUSTER_VIEW,
                               [this](proto::ClusterView&& m, rpc::Responder) { events_.view(m); });
  rpc_->on<proto::ActorLease>(proto::ACTOR_LEASE,
                              [this](proto::ActorLease&& m, rpc::Responder) { events_.actor_lease(m); });
  rpc_->on<proto::ActorInfo>(proto::ACTOR_CHANGED,
                             [this](proto::ActorInfo&& m, rpc::Responder) { events_.actor_changed(m); });
  rpc_->on<proto::BundleHold>(proto::BUNDLES, [this](proto::BundleHold&& m, rpc::Responder) { events_.bundles(m); });
  rpc_->on<proto::GroupInfo>(proto::GROUP_CHANGED,
                             [this](proto::GroupInfo&& m, rpc::Responder) { events_.group_changed(m); });
  rpc_->on<proto::JobInfo>(proto::JOB_STARTED, [this](proto::JobInfo&& m, rpc::Responder) { events_.job_started(m); });
  rpc_->on<proto::JobFinished>(proto::JOB_ENDED, [this](proto::JobFinished&& m, rpc::Responder responder) {
    events_.job_ended(m, std::move(responder));
  });
  rpc_->on<proto::TimeLimit>(proto::TIME_LIMIT,
                             [this](proto::TimeLimit&& m, rpc::Responder) { events_.time_limit(m); });
  rpc_->on<proto::SaveState>(proto::SAVE_STATE, [this](proto::SaveState&& m, rpc::Responder responder) {
    events_.save_state(m, std::move(responder));
  });
  rpc_->on<proto::NodeDead>(proto::NODE_FENCED,
                            [this](proto::NodeDead&& m, rpc::Responder) { events_.fenced(m.why()); });
  rpc_->on<proto::ClusterDown>(proto::CLUSTER_DOWN, [this](proto::ClusterDown&& m, rpc::Responder) {
    events_.closed({Code::kUnavailable, m.why()});
  });
  ask<proto::NodeRegistered>(proto::NODE_REGISTER, self, kRegisterTimeout, [this](Result<proto::NodeRegistered> reply) {
    if (reply && reply->accepted()) return events_.registered(*reply);
    if (reply) return events_.closed({Code::kDenied, "the GCS refuses this node: " + reply->why_not()});
    if (reply.error().code != Code::kUnavailable) events_.closed(reply.error());  // Else `closed` comes by itself.
  });
  return {};
}

bool GcsLink::is_for_gcs(proto::MessageType type) {
  switch (type) {
    case proto::REGISTER_ACTOR:
    case proto::GET_ACTOR:
    case proto::KILL_ACTOR:
    case proto::ACTOR_OUT_OF_SCOPE:
    case proto::CREATE_GROUP:
    case proto::GET_GROUP:
    case proto::WAIT_GROUP:
    case proto::REMOVE_GROUP:
    case proto::KV_PUT:
    case proto::KV_GET:
    case proto::KV_DELETE:
    case proto::LIST:
    case proto::MEMBERS_LEFT:
    case proto::SAVE_STATE:
    case proto::STOP_CLUSTER: return true;
    default: return false;
  }
}

// Passed on as they are, without parsing.  The deadline is the asker's; the answer that will never come is the close of
// this channel.
void GcsLink::serve(rpc::Rpc& client) {
  client.serve_others([this](proto::MessageType type, rpc::Message&& message, rpc::Responder responder) {
    if (!is_for_gcs(type)) {
      return responder.fail({Code::kInvalid, "messages of type " + std::to_string(type) + " are not taken here"});
    }
    if (rpc_ == nullptr) return responder.fail({Code::kUnavailable, "the GCS is gone"});
    if (!responder.wanted()) return (void)rpc_->notify(type, message.payload);
    rpc_->call(type, message.payload, rpc::kNoDeadline, [responder](Result<rpc::Message> reply) {
      if (!reply) return responder.fail(reply.error());
      responder.reply(reply->payload);
    });
  });
}

}  // namespace mobula::raylet

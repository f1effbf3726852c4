#pragma once

#include <optional>

#include "core/worker/actor_client.h"
#include "core/worker/calls.h"
#include "core/worker/collectives.h"
#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/links.h"
#include "core/worker/process_metrics.h"
#include "core/worker/references.h"
#include "core/worker/submitter.h"

namespace mobula::runtime {

// Takes each message of other drivers and workers to the part that it is for, and their deaths to every part.
//
// Under the engine's lock.
class Dispatch final : public LinkHandler {
 public:
  struct Parts {
    Engine& engine;
    Links& links;
    References& references;
    Calls& calls;
    Submitter& submitter;
    ActorClient& actors;
    Executor& executor;
    Collectives& collectives;
    ProcessMetrics& metrics;
  };
  // The links exist before what their messages are for.  Once, before the first progress.
  void begin(const Parts& parts) { p_.emplace(parts); }

  void message(Peer& from, Hot type, base::ConstBytes header, base::ConstBytes payload) override;
  void writable(Peer& peer) override { p_->collectives.on_writable(peer); }
  void peer_lost(Peer& peer) override;

 private:
  void on_reply(Peer& from, const ReplyHeader& header, base::ConstBytes payload);

  std::optional<Parts> p_;
};

}  // namespace mobula::runtime

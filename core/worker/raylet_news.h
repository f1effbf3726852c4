#pragma once

#include <optional>
#include <string>

#include "core/worker/actor_client.h"
#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/links.h"
#include "core/worker/log_fold.h"
#include "core/worker/raylet_link.h"
#include "core/worker/references.h"
#include "core/worker/submitter.h"
#include "core/worker/time_left.h"

namespace mobula::runtime {

// What the raylet tells us, taken to the part that it is for; and the end of the cluster, which ends everything that
// waits for it.
//
// Under the engine's lock.
class RayletNews {
 public:
  enum class Reader { kDriver, kWorker };  // A worker dies with its raylet; a driver's waits end with an error.
  struct Parts {
    Engine& engine;
    Links& links;
    RayletLink& raylet;
    References& references;
    Submitter& submitter;
    ActorClient& actors;
    Executor& executor;
    TimeLeft& time;
    Scopes& scopes;
  };
  RayletNews(Parts parts, Reader reader) : p_(parts), reader_(reader) {}
  ~RayletNews();
  RayletNews(const RayletNews&) = delete;
  RayletNews& operator=(const RayletNews&) = delete;

  // Takes the handlers of the raylet's channel.  Once, before the first progress.
  void serve();
  // Shows the lines of workers that were held back because others wrote the same.
  void flush_lines();
  // The session ends while threads of the program wait: so do their calls.
  void end_calls();
  // Why there is no cluster any more.
  const std::optional<ErrorInfo>& down() const { return down_; }

 private:
  void serve_leases();
  void bind(const proto::Binding& message);
  void cluster_down(const std::string& why);
  void fail_all(const ErrorInfo& error);
  bool setting(const std::string& key) const;
  void take_lines(proto::LogLines&& lines);
  void show(const base::Outbox<FoldedLine>& lines);

  Parts p_;
  const Reader reader_;
  std::optional<ErrorInfo> down_;
  LogFold fold_;
  os::EventLoop::Id fold_timer_ = 0;
};

}  // namespace mobula::runtime

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// The jobs that this node has heard of, and their end here: workers asked to leave, those that do not are killed, the
// last lines handed over, and only then whoever asked is answered.
class Jobs {
 public:
  struct Ports {
    std::function<void(const proto::JobInfo&)> started;                      // The first time a job is heard of.
    std::function<void(const base::JobId&)> release;                         // Tells LeaseMachine that it has ended.
    std::function<std::vector<base::WorkerId>(const base::JobId&)> workers;  // That are to leave with it.
    std::function<void(const base::WorkerId&)> ask_to_leave;
    std::function<void(const base::WorkerId&, const std::string& why)> kill;
    std::function<void(const base::JobId&)> forget;                             // Nothing of it is left.
    std::function<void(const base::JobId&, std::function<void()> done)> flush;  // Lines of its workers.
  };
  Jobs(os::EventLoop& loop, Ports ports) : loop_(loop), ports_(std::move(ports)) {}
  ~Jobs();

  void add(const proto::JobInfo& job);
  const proto::JobInfo* find(const base::JobId& job) const;
  // Answered when no worker that leaves with the job is left.  May be asked again.
  void end(const base::JobId& job, rpc::Responder responder);
  void worker_gone(const base::JobId& job, const base::WorkerId& worker);
  void worker_leaving(const base::JobId& job, const base::WorkerId& worker);  // It is busy with that.

  struct Job {
    proto::JobInfo info;
    bool ending = false;
    bool flushed = false;
    std::set<base::WorkerId> leaving;
    os::EventLoop::Id timer = 0;
    std::vector<rpc::Responder> waiting;
  };
  const std::map<base::JobId, Job>& all() const { return jobs_; }

 private:
  void kill_late(const base::JobId& id);
  void check(const base::JobId& id);

  os::EventLoop& loop_;
  const Ports ports_;
  std::map<base::JobId, Job> jobs_;
};

}  // namespace mobula::raylet

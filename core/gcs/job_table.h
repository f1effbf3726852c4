#pragma once

#include <functional>
#include <map>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/gcs/storage.h"
#include "core/rpc/rpc.h"

namespace mobula::gcs {

// The jobs of the cluster: told to every node before anything else of them, ended on every node before their end
// counts.
class JobTable {
 public:
  struct Ports {
    std::function<void(const std::function<void(const base::NodeId&, rpc::Rpc&)>&)> each_node;
    std::function<void(const base::JobId&)> ended;  // Its actors end, detached ones excepted.
  };
  JobTable(Storage& storage, Ports ports) : storage_(storage), ports_(std::move(ports)) {}

  void serve(rpc::Rpc& rpc);                 // JOB_REGISTER, JOB_DONE, and the drivers that join a job.
  void node_joined(rpc::Rpc& rpc);           // Tells it of the jobs that run.
  void node_died(const base::NodeId& node);  // Jobs end with the node of their driver.

  void each(const std::function<void(const proto::JobInfo&)>& visit) const;

 private:
  void add(proto::JobInfo&& job, const rpc::Responder& responder);
  void done(const proto::JobFinished& message, const rpc::Responder& responder);

  // The drivers of a job but the first, which made it.
  struct Crew {
    std::map<base::WorkerId, base::NodeId> present;
    std::uint32_t joined = 0;  // Ever.
    struct Waiting {
      std::uint32_t count;
      rpc::Responder responder;
    };
    std::vector<Waiting> waiting;
  };
  void member_joined(const proto::JobMember& member);
  void member_left(const proto::JobMember& member);
  static void answer(Crew& crew);

  Storage& storage_;
  const Ports ports_;
  std::map<base::JobId, Crew> crews_;
};

}  // namespace mobula::gcs

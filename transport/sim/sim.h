#pragma once

#include <memory>

#include "transport/sim/connection.h"
#include "transport/sim/network.h"
#include "transport/transport.h"

namespace mobula::transport::sim {

// Endpoints over the virtual network: the sessions of transport/sock over a reliable stream that resends.
// Addresses are "sim:INDEX".
//
// Time passes only when the owner of the network moves its clock; event_fd() becomes readable when that has brought
// something.  A peer that was destroyed is lost as soon as its word arrives, one that crashed or is cut off
// after ConnectionTimes::silence_max.  The network must outlive the worker.
class SimWorker : public Worker {
 public:
  virtual NodeIndex node() const = 0;
  virtual void crash() = 0;  // The node vanishes; of use only to be destroyed after this.
};
Result<std::unique_ptr<SimWorker>> make_sim_worker(SimNetwork& network, const WorkerOptions& options, Inbox& inbox,
                                                   const ConnectionTimes& times = {});

}  // namespace mobula::transport::sim

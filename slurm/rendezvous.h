#pragma once

#include <memory>
#include <string>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "slurm/identity.h"
#include "slurm/invitation.h"

namespace mobula::slurm {

// How the nodes of one start learn what rank 0 has made.  One per process, used by one thread.
//
// Of each node's tasks the leader (local rank 0) takes part; where is_collective(), the others too, by attend(), since
// the launcher's barrier waits for every task.  Nothing is published to another user or another start: what fetch()
// gives has been checked, or came over a channel that is this start's alone.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  virtual std::string name() const = 0;  // As the setting `rendezvous` calls it, for messages.
  virtual bool is_collective() const { return false; }
  // The launcher's name for this start, where it says one here; else empty.
  virtual std::string start_name() const { return {}; }

  // Rank 0.  The others can have it when this returns, and until the object is gone.
  virtual base::Result<void> publish(const Invitation& invitation, base::Time deadline) = 0;
  // Leaders of other nodes.  Waits until it is published: kDeadline with what was tried.
  virtual base::Result<Invitation> fetch(base::Time deadline) = 0;
  // Every other task, where is_collective(); on one node, where nothing is published, all tasks.
  virtual base::Result<void> attend(base::Time) { return {}; }
};

}  // namespace mobula::slurm

#pragma once

#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/worker/links.h"
#include "core/worker/object_table.h"
#include "core/worker/object_values.h"
#include "core/worker/process_metrics.h"

namespace mobula::runtime {

// Who holds whose objects across processes: what we borrow, and whom we lent ours to.
//
// The rule (ARCHITECTURE section 7): a holder that passes a reference on is counted until the owner knows the receiver.
// It is kept so: whoever borrows says so to the owner (kBorrow) and is acknowledged (kBorrowed); while an
// acknowledgement is outstanding, this process neither releases what it has borrowed nor answers the call that brought
// the reference.
//
// Under the engine's lock.
class Borrows {
 public:
  Borrows(Links& links, ObjectTable& table, ObjectValues& values, ProcessMetrics& metrics)
      : links_(links), table_(table), values_(values), metrics_(metrics) {}

  // Tells the owner, once.  REQUIRES: object.borrowed().
  void borrow(LocalObject& object);
  // Our last reference to `object` is gone.
  void release(LocalObject& object);
  // Sends the releases that may leave by now.
  void flush_releases();
  // Runs once every kBorrow sent so far is acknowledged; at once when none is outstanding.
  void after_borrows(std::function<void()> then);

  void on_borrow(Peer& from, const ObjectHeader& header);
  void on_borrowed(Peer& from, const ObjectHeader& header);
  void on_release(Peer& from, const ObjectHeader& header);
  void on_peer_lost(Peer& peer);

 private:
  void borrow_ended(Peer& owner, const ObjectId& id, bool known);

  Links& links_;
  ObjectTable& table_;
  ObjectValues& values_;
  ProcessMetrics& metrics_;
  std::unordered_map<ObjectId, ObjectRef> lent_;      // Ours with borrowers: held for them.
  std::unordered_map<ObjectId, Peer*> borrows_open_;  // kBorrow sent, not acknowledged.
  std::vector<std::pair<Peer*, ObjectId>> releases_;  // Wait until borrows_open_ is empty.
  std::vector<std::function<void()>> after_borrows_;
};

}  // namespace mobula::runtime

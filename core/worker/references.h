#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "core/base/ids.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_object.h"
#include "core/worker/local_store.h"
#include "core/worker/process_metrics.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// The objects that other processes know of: whom we lent ours to, which of theirs we borrow, and how their bytes come
// here.
//
// The rule (ARCHITECTURE section 7): a holder that passes a reference on is counted until the owner knows the receiver.
// It is kept so: whoever borrows says so to the owner (kBorrow) and is acknowledged (kBorrowed); while an
// acknowledgement is outstanding, this process neither releases what it has borrowed nor answers the call that brought
// the reference.
//
// Under the engine's lock, but for drop().
class References {
 public:
  References(Engine& engine, Links& links, RayletLink& raylet, LocalStore& store, ProcessMetrics& metrics)
      : engine_(engine), links_(links), raylet_(raylet), store_(store), metrics_(metrics) {}

  // ---- making and finding.
  LocalObject* make(const ObjectId& id) { return new LocalObject(id); }
  // Other processes may name it to us from now on.  REQUIRES: the caller holds a reference.
  void list(LocalObject& object);
  ObjectRef find(const ObjectId& id);
  // A reference that came in a value.  Borrowed when another process owns it; `defer_borrow` leaves it to the caller to
  // call borrow() later if the reference is still held.
  enum class Borrow { kNow, kLater };
  ObjectRef adopt(const ObjectId& id, const ProcessAddress& owner, Borrow when);
  void borrow(LocalObject& object);
  // Runs once every kBorrow sent so far is acknowledged; at once when none is outstanding.
  void after_borrows(std::function<void()> then);

  // Called by the last ObjectRef; any thread, no lock.
  void drop(LocalObject* object) noexcept;
  void process_drops();

  // ---- values.
  // Brings the bytes here; the waiters are told.  Harmless when they are here or on their way.
  void fetch(LocalObject& object);
  // Learns that a borrowed object has a value somewhere.
  void ask_owner(LocalObject& object);
  // After a settle_*(): tells waiters and askers.
  void settled(LocalObject& object);
  void set_holders(LocalObject& object, std::vector<base::NodeId> holders);
  // Writes how `object` is found: a Returned, then bytes or holders.  REQUIRES: kReady or kRemote.
  void describe(LocalObject& object, base::Buffer& out);
  // Reads what describe() wrote; false when malformed.
  static bool read_described(base::Cursor& in, Returned& head, ConstBytes& bytes, std::vector<base::NodeId>& holders);
  void settle_described(LocalObject& object, const Returned& head, ConstBytes bytes, std::vector<base::NodeId> holders);

  // ---- messages.
  void on_object_get(Peer& from, const ObjectHeader& header);
  void on_object_value(Peer& from, const ObjectHeader& header, ConstBytes payload);
  void on_borrow(Peer& from, const ObjectHeader& header);
  void on_borrowed(Peer& from, const ObjectHeader& header);
  void on_release(Peer& from, const ObjectHeader& header);
  void on_location(Peer& from, const ObjectHeader& header, ConstBytes payload);
  void on_peer_lost(Peer& peer);
  void on_node_dead(const base::NodeId& node, const std::string& why);
  // Everything unsettled ends with this error.
  void fail_all(const ErrorInfo& error);

  std::size_t listed() const { return table_.size(); }

 private:
  void finish_drop(LocalObject& object);
  void free_copies(LocalObject& object);
  void flush_releases();
  void borrow_ended(Peer& owner, const ObjectId& id, bool known);
  void pull_ended(const ObjectRef& ref, const base::Result<proto::Pulled>& result);
  void answer(Peer& to, LocalObject& object);
  ErrorInfo lost(const LocalObject& object, std::string what, std::vector<std::string> evidence) const;

  Engine& engine_;
  Links& links_;
  RayletLink& raylet_;
  LocalStore& store_;
  ProcessMetrics& metrics_;
  std::unordered_map<ObjectId, LocalObject*> table_;
  std::unordered_map<ObjectId, ObjectRef> lent_;      // Ours with borrowers: held for them.
  std::unordered_map<ObjectId, Peer*> borrows_open_;  // kBorrow sent, not acknowledged.
  std::vector<std::pair<Peer*, ObjectId>> releases_;  // Wait until borrows_open_ is empty.
  std::vector<std::function<void()>> after_borrows_;
  std::atomic<LocalObject*> dropped_{nullptr};
};

}  // namespace mobula::runtime

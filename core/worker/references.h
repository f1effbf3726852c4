#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/worker/borrows.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_object.h"
#include "core/worker/local_store.h"
#include "core/worker/object_table.h"
#include "core/worker/object_values.h"
#include "core/worker/process_metrics.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// The objects that this process refers to: made here or brought by values, dropped, lost with whoever had them.
//
// Under the engine's lock, but for drop().
class References {
 public:
  References(Engine& engine, Links& links, RayletLink& raylet, LocalStore& store, ProcessMetrics& metrics)
      : engine_(engine),
        links_(links),
        raylet_(raylet),
        store_(store),
        values_({engine, links, raylet, store, table_, metrics}),
        borrows_(engine, links, table_, values_, metrics) {}

  ObjectValues& values() { return values_; }
  Borrows& borrows() { return borrows_; }

  LocalObject* make(const ObjectId& id) { return new LocalObject(id); }
  void list(LocalObject& object) { table_.list(object); }
  ObjectRef find(const ObjectId& id) { return table_.find(id); }
  // A reference that came in a value.  Borrowed when another process owns it; kLater leaves it to the caller to call
  // borrows().borrow() if the reference is still held then.
  enum class Borrow { kNow, kLater };
  ObjectRef adopt(const ObjectId& id, const ProcessAddress& owner, Borrow when);

  // Called by the last ObjectRef; any thread, no lock.
  void drop(LocalObject* object) noexcept;
  void process_drops();

  // `covered`: see Borrows.
  void on_peer_lost(Peer& peer, std::span<const ObjectRef> covered);
  // What to do when the last reference to a result of a task that can be run again is gone.
  void on_made_dropped(std::function<void(const ObjectId&)> then) { made_dropped_ = std::move(then); }
  void on_node_dead(const base::NodeId& node, const std::string& why);
  // Everything unsettled ends with this error.
  void fail_all(const ErrorInfo& error);

  std::size_t listed() const { return table_.size(); }
  // Whether another process may hold an object, or a handle of an actor, that is lost with this one.
  bool owns_any() {
    process_drops();
    return table_.has_own();
  }

 private:
  void finish_drop(LocalObject& object);
  void free_copies(LocalObject& object);

  Engine& engine_;
  Links& links_;
  RayletLink& raylet_;
  LocalStore& store_;
  ObjectTable table_;
  ObjectValues values_;
  Borrows borrows_;
  std::function<void(const ObjectId&)> made_dropped_;
  std::atomic<LocalObject*> dropped_{nullptr};
};

}  // namespace mobula::runtime

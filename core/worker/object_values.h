#pragma once

#include <string>
#include <vector>

#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"
#include "core/worker/object_table.h"
#include "core/worker/process_metrics.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// How the values of objects come here and go to others: described in messages, asked of their owner, pulled by the
// raylet.
//
// Under the engine's lock.
class ObjectValues {
 public:
  struct Parts {
    Engine& engine;
    Links& links;
    RayletLink& raylet;
    LocalStore& store;
    ObjectTable& table;
    ProcessMetrics& metrics;
  };
  explicit ObjectValues(Parts parts) : p_(parts) {}

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

  void fail(LocalObject& object, ErrorInfo error);
  // The process that owned it has died before it told of a value.
  void fail_orphan(LocalObject& object, const Peer& owner);
  // What is said of an object that will have no value any more.
  ErrorInfo lost(const LocalObject& object, std::string what, std::vector<std::string> evidence) const;

  void on_object_get(Peer& from, const ObjectHeader& header);
  void on_object_value(const ObjectHeader& header, ConstBytes payload);
  void on_location(const ObjectHeader& header, ConstBytes payload);

 private:
  void pull_ended(const ObjectRef& ref, const base::Result<proto::Pulled>& result);
  void answer(Peer& to, LocalObject& object);

  Parts p_;
};

}  // namespace mobula::runtime

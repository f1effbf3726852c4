#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/worker/call_body.h"
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
  // Has a value found again of which no copy is known.  REQUIRES: kRemote.
  void seek_if_lost(LocalObject& object);
  // Who finds it, when the object is ours; and who is told that something is sought.  Each once.
  void recover_with(std::function<void(LocalObject&)> recover) { recover_ = std::move(recover); }
  void on_sought(std::function<void()> sought) { on_sought_ = std::move(sought); }
  // The node has no copy any more; true when no node has.
  bool strike(LocalObject& object, const base::NodeId& node);
  void note_dead(const base::NodeId& node, const std::string& why);
  // What is known of the copies that are gone, for errors.
  std::vector<std::string> evidence_of_loss(LocalObject& object) const;
  // Learns that a borrowed object has a value somewhere.
  void ask_owner(LocalObject& object);
  // After a settle_*(): tells waiters and askers.
  void settled(LocalObject& object);
  void set_holders(LocalObject& object, std::vector<base::NodeId> holders);

  // Writes how `object` is found, for read_described().  REQUIRES: kReady or kRemote.
  void describe(LocalObject& object, base::Buffer& out);
  // As an owner or a caller describes a borrowed object.
  void settle_described(LocalObject& object, const Returned& head, ConstBytes bytes, std::vector<base::NodeId> holders);
  // As the worker describes what our call returns, the first time or again.
  void settle_result(LocalObject& object, const Returned& head, ConstBytes bytes,
                     const std::vector<base::NodeId>& holders);

  void fail(LocalObject& object, ErrorInfo error);
  // The process that owned it has died before it told of a value.
  void fail_orphan(LocalObject& object, const Peer& owner);
  // What is said of an object that will have no value any more.
  ErrorInfo lost(const LocalObject& object, std::string what, std::vector<std::string> evidence) const;

  // False: malformed.
  bool on_object_get(Peer& from, const ObjectHeader& header, ConstBytes payload);
  void on_object_value(const ObjectHeader& header, ConstBytes payload);
  void on_location(const ObjectHeader& header, ConstBytes payload);

 private:
  // What was known when a pull began.
  struct Asked {
    std::vector<base::NodeId> holders;
    std::uint32_t epoch = 0;
  };
  void pull_ended(const ObjectRef& ref, const Asked& asked, const base::Result<proto::Pulled>& result);
  void pull_later(LocalObject& object, const std::string& why);
  void seek(LocalObject& object);
  void answer(Peer& to, LocalObject& object);

  Parts p_;
  std::function<void(LocalObject&)> recover_;
  std::function<void()> on_sought_;
  std::map<base::NodeId, std::string> dead_;  // Nodes, and why.
};

}  // namespace mobula::runtime

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/os/event_loop.h"
#include "core/worker/engine.h"
#include "core/worker/links.h"
#include "core/worker/object_table.h"
#include "core/worker/object_values.h"
#include "core/worker/process_metrics.h"
#include "objstore/logic/ownership.h"

namespace mobula::runtime {

// Who holds whose objects across processes: drives this process's OwnershipMachine (docs/protocols/ownership.md), which
// decides when to tell whom.  What comes out of it becomes messages, and references held or let go here.
//
// Under the engine's lock.
class Borrows {
 public:
  Borrows(Engine& engine, Links& links, ObjectTable& table, ObjectValues& values, ProcessMetrics& metrics)
      : engine_(engine),
        links_(links),
        table_(table),
        values_(values),
        metrics_(metrics),
        machine_(links.self().worker) {}

  // Tells the owner, once.  REQUIRES: object.borrowed().
  void borrow(LocalObject& object);
  // Our last reference to `object` is gone; flush_releases() tells of all such.
  void release(LocalObject& object);
  void flush_releases();
  // Runs once the owners of everything borrowed so far count us; at once when they do.
  void after_borrows(std::function<void()> then);
  // The reply to `call` of `from` held these: `from` may let go of them once their owners count us.  Again, and with
  // none, for a reply that nobody waits for any more.
  void take_over(Peer& from, std::uint64_t call, std::span<const ObjectRef> refs);
  // What to do when somebody has taken over what we replied to a call.
  void on_handed_over(std::function<void(Peer& to, std::uint64_t call)> then) { handed_over_ = std::move(then); }

  // Held for `peer` although nothing is under way there any more: it may have passed them on before it died.  Dropped
  // when the grace after its death ends.
  void hold_for(Peer& peer, std::vector<ObjectRef> refs);
  // `covered`: what we hold only because `peer`, who called us, held it too.
  void on_peer_lost(Peer& peer, std::span<const ObjectRef> covered);

  // False: malformed.
  bool on_tell(Peer& from, const TellHeader& header, ConstBytes payload);
  bool on_told(Peer& from, const TellHeader& header, ConstBytes payload);

 private:
  void step(objstore::OwnershipInput input);
  void run_machine();
  void carry_out(objstore::OwnershipOutput& output);
  void send(const objstore::Tell& tell);
  void send(const objstore::Told& told);
  void become_error(const objstore::RefName& ref);
  void arm_timer();
  // Marks what is borrowed for the first time, and names it.
  std::vector<objstore::RefName> claim(std::span<const ObjectRef> refs);

  Engine& engine_;
  Links& links_;
  ObjectTable& table_;
  ObjectValues& values_;
  ProcessMetrics& metrics_;
  objstore::OwnershipMachine machine_;
  // Inputs that came while outputs were carried out: a message that cannot be sent tells of a death in the middle.
  std::deque<objstore::OwnershipInput> inputs_;
  base::Outbox<objstore::OwnershipOutput> out_;
  bool busy_ = false;
  std::unordered_map<ObjectId, ObjectRef> lent_;                         // Ours, held for other processes.
  std::unordered_map<base::WorkerId, std::vector<ObjectRef>> held_for_;  // By process that has died, or will have.
  std::vector<objstore::RefName> releases_;                              // Since the last flush.
  std::unordered_map<std::uint64_t, std::function<void()>> after_;       // By token.
  std::uint64_t next_token_ = 1;
  std::function<void(Peer&, std::uint64_t)> handed_over_;
  std::optional<base::Time> armed_;
  os::EventLoop::Id timer_ = 0;
};

}  // namespace mobula::runtime

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "core/base/ids.h"
#include "core/worker/address.h"
#include "core/worker/local_object.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

struct Peer;
struct Task;

// The object whose references count an actor's handles.
inline constexpr std::uint32_t kHandleIndex = 0xffff'ffffu;
inline ObjectId handle_of(const ActorId& actor) {
  ObjectId id;
  id.words = actor.words;
  id.words[6] = kHandleIndex;
  return id;
}

// An actor as this process knows it.  Shared by its handles (ActorRef) and by calls under way; everything but `id`
// under the engine's lock.
class ActorState {
 public:
  enum class Phase : std::uint8_t { kUnknown, kPending, kAlive, kRestarting, kDead };

  explicit ActorState(const ActorId& actor) : id(actor) {}

  ActorId id;
  Phase phase = Phase::kUnknown;
  std::uint64_t version = 0;
  std::uint64_t incarnation = 0;
  std::string class_name;
  ProcessAddress owner;
  ObjectRef handle;  // Empty for a detached actor and for one whose owner has gone.
  bool subscribed = false;
  bool killed = false;  // By this process, for good: only its death is news.
  int max_task_retries = 0;
  std::int64_t max_pending_calls = -1;
  Peer* peer = nullptr;                 // While alive and connected.
  std::uint64_t next_sequence = 0;      // Of this incarnation.
  std::deque<std::uint32_t> queue;      // Task slots, in the order of the calls; not sent.
  std::deque<std::uint32_t> in_flight;  // Sent and not answered, in order.
  std::optional<ErrorInfo> death;
  int unheard_of = 0;        // How often the GCS did not know it yet.
  std::uint64_t losses = 0;  // How often its worker was lost: tells an old timer that it is old.
};

}  // namespace mobula::runtime

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "collective/choose.h"
#include "collective/group.h"
#include "collective/reduction.h"
#include "collective/succession.h"
#include "core/base/error_info.h"
#include "core/base/ids.h"

namespace mobula::runtime {

// One call of a collective, or one message to or from another member.
struct CollectiveCall {
  collective::GroupKey group;
  collective::Request request;                       // kSendReceive: count and element_bytes, and
  int to = -1;                                       // whom to send to,
  int from = -1;                                     // or whom to receive from.
  const collective::Reduction* reduction = nullptr;  // Lives until the call is begun.
  const void* input = nullptr;                       // Both: until it has ended.
  void* output = nullptr;
};

// A call under way.
struct PendingCollective {
  collective::GroupKey group;
  collective::Operation operation = collective::Operation::kBarrier;
  std::shared_ptr<collective::Call> call;
};

// The epoch of a member that was started again and has not been taken in yet.
inline constexpr std::uint32_t kNoEpoch = 0;
inline constexpr std::uint32_t kFirstEpoch = 1;

// How a member goes on after its group has failed.
struct Recovered {
  std::shared_ptr<const base::ErrorInfo> error;  // Null: it does, as what follows.
  collective::GroupKey key;
  collective::Place place;
};

// The groups that this process is a member of.  Any thread; none throws.
class CollectiveRuntime {
 public:
  // How often this process's actor was started before.
  virtual std::uint64_t incarnation() = 0;
  // For members that are started again: who all are.  Does not wait.
  virtual void publish(std::uint64_t group, const std::vector<base::ActorId>& members) = 0;
  // This process is member `rank` of the actors `members`; messages that came before are delivered now.  Once per key.
  // kFirst: nothing but the first run of each actor is a member.
  enum class Runs : std::uint8_t { kAny, kFirst };
  virtual void join(const collective::GroupKey& key, int rank, const std::vector<base::ActorId>& members,
                    Runs runs) = 0;
  // The members `ranks` of `parent`, in this order, are a group of their own; this process is one of them.
  virtual void join_part(const collective::GroupKey& key, const collective::GroupKey& parent,
                         const std::vector<int>& ranks) = 0;

  // Runs the call to its end; null: the result is there.
  virtual std::shared_ptr<const base::ErrorInfo> run(const CollectiveCall& call) = 0;
  // Does not wait.  An unknown group gives a call that has failed.
  virtual PendingCollective begin(const CollectiveCall& call) = 0;
  virtual bool ended(const PendingCollective& pending) = 0;
  // Waits until the call has ended; null: the result is there.
  virtual std::shared_ptr<const base::ErrorInfo> wait(const PendingCollective& pending) = 0;

  // Ends the group in this epoch, should it not have failed, and waits until its members go on in a later one.
  // `place`: for a member that was started again (kNoEpoch), its place in the first epoch.
  virtual Recovered recover(const collective::GroupKey& group, collective::Place place, collective::Recovery how) = 0;

 protected:
  ~CollectiveRuntime() = default;
};

}  // namespace mobula::runtime

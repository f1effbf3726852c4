#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/worker/actor_client.h"
#include "core/worker/calls.h"
#include "core/worker/process_metrics.h"
#include "core/worker/references.h"
#include "core/worker/submitter.h"
#include "objstore/logic/lineage.h"

namespace mobula::runtime {

// Values of this process's calls that are lost and made again: drives its LineageMachine (docs/protocols/lineage.md),
// and keeps of each call that left a value in a store what it takes to make it once more.
//
// It keeps no value alive but small ones: an argument that was put, or that another process owns, is there for a re-run
// only if somebody else holds it still.
//
// Under the engine's lock.
class Lineage final : public CallHistory {
 public:
  struct Parts {
    Calls& calls;
    References& references;
    Submitter& submitter;
    ActorClient& actors;
    ProcessMetrics& metrics;
  };
  Lineage(Parts parts, std::uint64_t bytes_max);

  void keep(Task& task) override;
  void ended_again(Task& task) override;
  ErrorInfo loss(const Task& task, ErrorInfo why) override;

 private:
  // An argument, or what one refers to.
  struct Argument {
    base::ObjectId object;
    std::uint64_t converter = 0;
    ObjectRef held;  // Small, and ours.
  };
  struct Call {
    const FunctionEntry* function = nullptr;
    OptionsHandle options = 0;
    bool of_actor = false;
    std::weak_ptr<ActorState> actor;
    std::uint16_t returns = 1;
    std::uint32_t attempt = 0;  // The last that was run.
    base::Buffer bytes;
    std::uint32_t count = 0;
    std::vector<Argument> dependencies;
    std::vector<Argument> contained;
  };

  void recover(LocalObject& object);
  void dropped(const base::ObjectId& object);
  void step(objstore::LineageInput input);
  void carry_out(const objstore::LineageOutput& output);
  void run_again(const objstore::Rerun& rerun);
  void give_up(const objstore::Hopeless& hopeless);
  // The arguments of `call`, as far as they are there; what is not is named in `missing`.
  Arguments arguments_of(const Call& call, std::optional<base::ObjectId>& missing) const;
  Argument keep_argument(const ObjectRef& ref, std::uint64_t converter, objstore::Keep& keep);
  std::int64_t retries_max(const Task& task) const;
  std::uint32_t retries_left(const Task& task, std::uint32_t attempt) const;
  ErrorInfo lost(const base::ObjectId& object, std::string why) const;

  Parts p_;
  const std::uint64_t bytes_max_;
  objstore::LineageMachine machine_;
  std::unordered_map<base::TaskId, Call> calls_;
  // Inputs that came while outputs were carried out: a re-run may fail at once.
  std::deque<objstore::LineageInput> inputs_;
  base::Outbox<objstore::LineageOutput> out_;
  bool busy_ = false;
};

}  // namespace mobula::runtime

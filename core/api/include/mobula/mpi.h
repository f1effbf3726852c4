#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mobula/actor.h"
#include "mobula/group.h"
#include "mobula/ref.h"

// MPI programs as part of a Mobula program; included by hand.
//
//   auto run = mobula::mpi_gang.with({.size = 64})("./solver", {"--steps", "100"});   // returns at once
//   std::cout << run.output().get();
//   run.exit().get();                                                                 // 0, or throws MpiError
//
//   auto beside = mobula::mpi_gang.on(group)("./solver");                // rank i on the node of member i
//   auto there = mobula::mpi_gang.on({"n1", "n1", "n2"})("./solver");    // or of these nodes
//
// The program is any executable that is linked with an MPI, and need know nothing of Mobula.  In a Slurm job its ranks
// are a step that overlaps ours (`srun --overlap`, with the --mpi= that the program's MPI wants); elsewhere, and where
// the site's srun has no such kind, they are mpirun's.  Rank order is the order of the places.
//
// Programs that want the same CPUs never wait for each other: one that is given by its size gets the resources of all
// ranks or of none, and on named nodes all programs take them in the same order.  In a placement group of the user's
// without a bundle, and with a soft affinity, ranks get theirs one by one: there give each program its bundle.
namespace mobula {

struct MpiOptions {
  int size = 1;     // Ranks.
  double cpus = 1;  // Of each rank, held on its node from before it starts until all have ended.
  double gpus = 0;
  std::size_t memory = 0;
  ResourceView resources{};
  LabelView labels{};
  Scheduling scheduling{};
  PlacementGroupView placement_group{};
  int bundle = -1;
  LabelView env{};                        // Variables of the launcher, and of ranks that it passes them on to.
  std::string_view working_dir{};         // Empty: the driver's.
  std::string_view launcher = "auto";     // auto, srun, or an mpirun by name or path.
  std::string_view launcher_arguments{};  // Words apart by blanks; they win over ours ("--map-by numa --bind-to core").
  std::string_view mpi = "auto";          // srun's --mpi=.
};

// An MPI program did not end well, or could not be started.
class MpiError final : public detail::ErrorOf<TaskError, std::runtime_error> {
 public:
  using ErrorOf::ErrorOf;
  std::optional<int> exit_code() const;  // Nothing: it was not started.
  std::optional<int> signal() const;     // That a rank died of.
  std::optional<int> rank() const;       // That the launcher blames.
};

namespace detail {

struct MpiPlan;  // Options, as they are kept.
std::shared_ptr<const MpiPlan> copy_options(const MpiOptions& options);

struct MpiRefs {
  Ref<std::string> output;
  Ref<std::string> errors;
  Ref<int> exit;
};
MpiRefs start_mpi(const MpiPlan* plan, std::string_view program, const std::vector<std::string>& arguments,
                  const std::vector<runtime::ActorRef>* actors, const std::vector<std::string>* nodes);

}  // namespace detail

// An MPI program that was started.  Copies refer to the same.  Letting go of it stops nothing; what does is cancel(),
// and the end of the process that has started it: then no rank is left on any node within seconds.
class MpiGang {
 public:
  MpiGang() = default;
  explicit MpiGang(detail::MpiRefs refs) : refs_(std::move(refs)) {}

  // What the ranks wrote to stdout and stderr, however they ended; of more than 16 MiB the end.  The launcher's own
  // words are among the second.
  const Ref<std::string>& output() const { return refs_.output; }
  const Ref<std::string>& errors() const { return refs_.errors; }
  // 0; throws MpiError, which names rank, exit code and signal, as far as the launcher tells.  All three throw what
  // kept the program from being started: MpiError, Unschedulable, NodeDied, Cancelled.
  const Ref<int>& exit() const { return refs_.exit; }
  // Ends every rank; the refs then give Cancelled.
  void cancel() const { cancel_ref_of(refs_.output); }

 private:
  static void cancel_ref_of(const Ref<std::string>& ref);
  detail::MpiRefs refs_;
};

// Starts MPI programs; immutable, any thread may use it.
class MpiLauncher {
 public:
  constexpr MpiLauncher() = default;
  MpiLauncher with(MpiOptions options) const { return MpiLauncher(detail::copy_options(options)); }

  [[nodiscard]] MpiGang operator()(std::string_view program, const std::vector<std::string>& arguments = {}) const {
    return MpiGang(detail::start_mpi(plan_.get(), program, arguments, nullptr, nullptr));
  }

  // A rank beside each actor, on its CPUs; the actors must take a call before the ranks start.
  template <class A>
  auto on(const std::vector<ActorHandle<A>>& actors) const {
    std::vector<runtime::ActorRef> refs;
    for (const auto& actor : actors) refs.push_back(actor.actor());
    return [plan = plan_, refs = std::move(refs)](std::string_view program,
                                                  const std::vector<std::string>& arguments = {}) {
      return MpiGang(detail::start_mpi(plan.get(), program, arguments, &refs, nullptr));
    };
  }
  template <class A>
  auto on(const GroupHandle<A>& group) const {
    return on(group.members());
  }
  // A rank on each of these nodes, by name or id, as often as it is named.
  auto on(std::vector<std::string> nodes) const {
    return [plan = plan_, nodes = std::move(nodes)](std::string_view program,
                                                    const std::vector<std::string>& arguments = {}) {
      return MpiGang(detail::start_mpi(plan.get(), program, arguments, nullptr, &nodes));
    };
  }

 private:
  explicit MpiLauncher(std::shared_ptr<const detail::MpiPlan> plan) : plan_(std::move(plan)) {}
  std::shared_ptr<const detail::MpiPlan> plan_;
};
inline const MpiLauncher mpi_gang{};

}  // namespace mobula

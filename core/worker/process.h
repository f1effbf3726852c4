#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/os/memory_file.h"
#include "core/os/secret.h"
#include "core/worker/actor_client.h"
#include "core/worker/calls.h"
#include "core/worker/cancellation.h"
#include "core/worker/collectives.h"
#include "core/worker/dispatch.h"
#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/group_client.h"
#include "core/worker/lineage.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"
#include "core/worker/preemption.h"
#include "core/worker/process_metrics.h"
#include "core/worker/puts.h"
#include "core/worker/raylet_link.h"
#include "core/worker/raylet_news.h"
#include "core/worker/reference_codec.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"
#include "core/worker/saved_state.h"
#include "core/worker/submitter.h"
#include "core/worker/thread_context.h"
#include "core/worker/time_left.h"
#include "core/worker/transports.h"
#include "core/worker/waits.h"

namespace mobula::runtime {

struct ProcessOptions {
  bool is_driver = false;
  bool is_member = false;  // A driver of a job that another one makes.
  base::WorkerId worker;
  base::JobId job;
  std::string raylet_address;
  std::uint64_t start_token = 0;
  TransportChoice transports;
  Collectives::Options collectives;
  proto::Register registration;  // What init() knows: exe, argv, environment, ...
  SavedState saved_state;
  base::Duration join_timeout = std::chrono::seconds(30);
};

// A driver or a worker: builds the parts and hands them to each other.
class Process final : public Runtime {
 public:
  // Joins its node's raylet: makes the transports, registers, attaches to the store.  Blocks.
  static base::Result<std::unique_ptr<Process>> join(const ProcessOptions& options, const os::Secret& secret);
  ~Process() override;

  // Workers: tells the raylet that we are ready and runs calls until the end.
  [[noreturn]] void work();
  // Drivers: every wait of this process ends with Cancelled, and so does what it still calls.
  void end_calls();
  // Says that the job has ended, and waits until its workers are gone or `timeout`.
  void finish_job(bool succeeded, base::Duration timeout);
  // The driver that made the job: waits until `count` others have joined it and all have finished, or the cluster ends.
  void wait_for_members(std::uint32_t count);

  // The parts of a driver's orderly end; from a thread that is none of the program's.
  std::size_t begin_drain();     // Begins no further task or call; how many are under way.
  void drain(base::Time until);  // The same, and waits for those under way.
  enum class Saves { kCount, kWrite };
  Result<proto::StateSaved> save_actors(Saves what, base::Duration patience);
  void stand_still();  // Nobody in this process hears of the cluster any more: every wait goes on for ever.
  void finish_job_standing_still(base::Duration timeout);  // As finish_job(false, timeout), after stand_still().

  // Runtime
  OptionsHandle intern(const TaskSpecOptions& options) override;
  void submit(const FunctionEntry& function, OptionsHandle options, Arguments&& arguments,
              std::span<ObjectRef> out) override;
  Result<ActorRef> create_actor(const FunctionEntry& constructor, const ActorSpecOptions& options,
                                Arguments&& arguments) override;
  void call(const ActorRef& actor, const FunctionEntry& method, Arguments&& arguments,
            std::span<ObjectRef> out) override;
  Result<ActorRef> get_actor(const std::string& name, const std::string& ns) override;
  void kill(const ActorRef& actor, bool no_restart) override;
  void cancel(const ObjectRef& ref, bool force, bool recursive) override;
  Result<ObjectRef> put(Encoder&& value) override { return puts_->put(std::move(value)); }
  Result<std::unique_ptr<WritableObject>> allocate(std::size_t payload_bytes) override {
    return puts_->allocate(payload_bytes);
  }
  ObjectRef seal(std::unique_ptr<WritableObject> object) override { return puts_->seal(std::move(object)); }
  std::size_t wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                   FetchLocal fetch) override {
    return waits_->wait(refs, count, deadline, fetch);
  }
  bool when_ready(const ObjectRef& ref, Continuation& continuation) override {
    return waits_->when_ready(ref, continuation);
  }
  CollectiveRuntime* collectives() override { return collectives_.get(); }
  PlacementGroups* placement_groups() override { return groups_.get(); }
  bool cancelled() const override;
  std::optional<ErrorInfo> why_wait_ended() const override;
  TaskContext context() const override;
  Result<std::string> cluster_status_json() override;
  Result<void> on_preempt(std::function<void()> callback) override;
  bool preempted() const override { return preempt_callbacks_.begun(); }
  Result<void> save_state(std::string_view name, ConstBytes bytes) override { return saved_state_.write(name, bytes); }
  Result<std::vector<std::byte>> load_state(std::string_view name) override { return saved_state_.read(name); }
  std::optional<ResumedRun> resumed() const override;
  const SavedState& saved_state() const { return saved_state_; }
  PreemptCallbacks& preempt_callbacks() { return preempt_callbacks_; }
  std::optional<base::Duration> time_left() const override { return time_left_->left(); }

  // For the codec and the reference counts, which know no Runtime.
  ReferenceCodec& reference_codec() { return *reference_codec_; }
  Puts& puts() { return *puts_; }
  void dropped(LocalObject* object) noexcept { references_->drop(object); }

 private:
  std::shared_ptr<bool> ask_for_end(bool succeeded, base::Duration timeout);
  Process(const ProcessOptions& options, CallScope root);

  void attach_spin_page(const os::Fd& page);
  void build_parts(objstore::StoreClient store, const Collectives::Options& collectives,
                   std::uint64_t lineage_bytes_max);

  OptionsHandle captured(OptionsHandle options);

  const bool is_driver_;
  // Inside a captured group.
  std::map<std::pair<OptionsHandle, base::PlacementGroupId>, OptionsHandle> captured_options_;
  base::JobId job_;
  std::string ns_;
  Scopes scopes_;
  const SavedState saved_state_;
  PreemptCallbacks preempt_callbacks_;

  ProcessMetrics metrics_ = ProcessMetrics::create();
  Engine engine_;
  std::unique_ptr<RayletLink> raylet_;
  os::Mapping spin_page_;
  SpinTokens spin_tokens_;
  Dispatch dispatch_;
  std::unique_ptr<Links> links_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<References> references_;
  TaskTable tasks_;
  std::unique_ptr<Calls> calls_;
  std::unique_ptr<Submitter> submitter_;
  std::unique_ptr<ActorClient> actors_;
  std::unique_ptr<Lineage> lineage_;
  std::unique_ptr<Cancellation> cancellation_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Collectives> collectives_;
  std::unique_ptr<Waits> waits_;
  std::unique_ptr<Puts> puts_;
  std::unique_ptr<GroupClient> groups_;
  std::unique_ptr<ReferenceCodec> reference_codec_;
  std::unique_ptr<TimeLeft> time_left_;
  std::unique_ptr<RayletNews> news_;
};

}  // namespace mobula::runtime

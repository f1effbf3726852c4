#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/os/memory_file.h"
#include "core/os/secret.h"
#include "core/worker/actor_client.h"
#include "core/worker/calls.h"
#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/links.h"
#include "core/worker/local_store.h"
#include "core/worker/process_metrics.h"
#include "core/worker/raylet_link.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"
#include "core/worker/submitter.h"

namespace mobula::runtime {

struct ProcessOptions {
  bool is_driver = false;
  base::WorkerId worker;
  base::JobId job;
  std::string raylet_address;
  std::string session_directory;
  std::uint64_t start_token = 0;
  std::string node_link;         // MOBULA_NODE_LINK; empty: auto.
  std::string interface;         // Where to listen, when the cluster spans hosts; empty: this host alone.
  proto::Register registration;  // What init() knows: exe, argv, environment, ...
  base::Duration join_timeout = std::chrono::seconds(30);
};

// A driver or a worker: builds the parts, hands them to each other, takes each message to the part that it is for.
class Process final : public Runtime, public LinkHandler {
 public:
  // Joins its node's raylet: makes the transports, registers, attaches to the store.  Blocks.
  static base::Result<std::unique_ptr<Process>> join(const ProcessOptions& options, const os::Secret& secret);
  ~Process() override;

  // Workers: tells the raylet that we are ready and runs calls until the end.
  [[noreturn]] void work();
  // Drivers: says that the job has ended, and waits until its workers are gone or `timeout`.
  void finish_job(bool succeeded, base::Duration timeout);

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
  Result<ObjectRef> put(Encoder&& value) override;
  Result<std::unique_ptr<WritableObject>> allocate(std::size_t payload_bytes) override;
  ObjectRef seal(std::unique_ptr<WritableObject> object) override;
  std::size_t wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                   FetchLocal fetch) override;
  bool when_ready(const ObjectRef& ref, Continuation& continuation) override;
  bool cancelled() const override;
  TaskContext context() const override;
  Result<std::string> cluster_status_json() override;

  // For the codec (references inside values) and the reference counts.
  void encode_reference(const ObjectRef& ref, base::Buffer& out);
  ObjectRef decode_reference(base::Cursor& in);
  void encode_actor(const ActorRef& actor, base::Buffer& out);
  ActorRef decode_actor(base::Cursor& in);
  void dropped(LocalObject* object) noexcept;
  // Puts an argument or a value that is too long for a message.
  Result<ObjectRef> put_payload(const Encoder& value);

 private:
  Process(const ProcessOptions& options, const Registration& registration);

  base::Result<void> open_transports(const ProcessOptions& options, const os::Secret& secret);
  void serve_raylet();
  void cluster_down(const std::string& why);
  CallScope& scope();
  base::TaskId next_task() { return base::derive<base::TaskId>(scope().task, ++scope().children); }
  base::ObjectId next_put() { return base::object_of(scope().task, base::kPutIndex + ++scope().puts); }
  bool settled_enough(const ObjectRef& ref, FetchLocal fetch) const;
  void want(const ObjectRef& ref, FetchLocal fetch);
  bool block(Engine::Lock& lock, const std::function<bool()>& done, std::optional<Time> deadline);
  std::size_t wait_for_all(Engine::Lock& lock, std::span<const ObjectRef> refs, std::optional<Time> deadline,
                           FetchLocal fetch);
  std::size_t wait_for_some(Engine::Lock& lock, std::span<const ObjectRef> refs, std::size_t count,
                            std::optional<Time> deadline, FetchLocal fetch);

  void message(Peer& from, Hot type, base::ConstBytes header, base::ConstBytes payload) override;
  void peer_lost(Peer& peer) override;
  void on_reply(Peer& from, const ReplyHeader& header, base::ConstBytes payload);

  const bool is_driver_;
  base::JobId job_;
  std::string ns_;
  CallScope root_;
  std::optional<ErrorInfo> down_;

  ProcessMetrics metrics_ = ProcessMetrics::create();
  Engine engine_;
  std::unique_ptr<RayletLink> raylet_;
  os::Mapping spin_page_;
  std::unique_ptr<Links> links_;
  std::unique_ptr<LocalStore> store_;
  std::unique_ptr<References> references_;
  TaskTable tasks_;
  std::unique_ptr<Calls> calls_;
  std::unique_ptr<Submitter> submitter_;
  std::unique_ptr<ActorClient> actors_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace mobula::runtime

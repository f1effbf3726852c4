#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/worker/runtime.h"

namespace mobula::tests {

class LocalActor;
class LocalState;

// A runtime of one process and one thread, for tests of the API alone: calls wait in a queue that whoever waits
// works off, so that every order of events is the test's.  Values pass through their payloads as between processes.
class LocalRuntime final : public runtime::Runtime {
 public:
  LocalRuntime();
  ~LocalRuntime() override;

  runtime::OptionsHandle intern(const runtime::TaskSpecOptions& options) override;
  void submit(const runtime::FunctionEntry& function, runtime::OptionsHandle options, runtime::Arguments&& arguments,
              std::span<runtime::ObjectRef> out) override;
  runtime::Result<runtime::ActorRef> create_actor(const runtime::FunctionEntry& constructor,
                                                  const runtime::ActorSpecOptions& options,
                                                  runtime::Arguments&& arguments) override;
  void call(const runtime::ActorRef& actor, const runtime::FunctionEntry& method, runtime::Arguments&& arguments,
            std::span<runtime::ObjectRef> out) override;
  runtime::Result<runtime::ActorRef> get_actor(const std::string& name, const std::string& ns) override;
  void kill(const runtime::ActorRef& actor, bool no_restart) override;
  void cancel(const runtime::ObjectRef& ref, bool force, bool recursive) override;
  runtime::Result<runtime::ObjectRef> put(runtime::Encoder&& value) override;
  runtime::Result<std::unique_ptr<runtime::WritableObject>> allocate(std::size_t payload_bytes) override;
  runtime::ObjectRef seal(std::unique_ptr<runtime::WritableObject> object) override;
  std::size_t wait(std::span<const runtime::ObjectRef> refs, std::size_t count, std::optional<runtime::Time> deadline,
                   runtime::FetchLocal fetch) override;
  bool when_ready(const runtime::ObjectRef& ref, runtime::Continuation& continuation) override;
  runtime::CollectiveRuntime* collectives() override { return nullptr; }
  runtime::TaskContext context() const override;
  runtime::Result<std::string> cluster_status_json() override;
  runtime::Result<void> save_state(std::string_view name, base::ConstBytes bytes) override {
    saved_[std::string(name)].assign(bytes.begin(), bytes.end());
    return {};
  }
  runtime::Result<std::vector<std::byte>> load_state(std::string_view name) override {
    const auto it = saved_.find(std::string(name));
    if (it == saved_.end()) return base::Error{base::Code::kNotFound, "nothing is saved"};
    return it->second;
  }

  // Runs one queued call or one continuation; false when there was nothing to run.
  bool step();

  const std::vector<runtime::TaskSpecOptions>& interned() const { return interned_; }
  const runtime::ActorSpecOptions& last_actor() const { return last_actor_; }
  runtime::OptionsHandle last_options() const { return last_options_; }
  std::size_t live_objects() const;
  std::string last_failure_name;  // Of the function that bad_argument() was called for.

 private:
  struct Call;
  void enqueue(const runtime::FunctionEntry& function, std::shared_ptr<LocalActor> actor,
               runtime::Arguments&& arguments, std::span<runtime::ObjectRef> out);
  bool runnable(const Call& call) const;
  void run(Call call);

  std::map<std::string, std::vector<std::byte>> saved_;
  std::vector<runtime::TaskSpecOptions> interned_;
  runtime::ActorSpecOptions last_actor_;
  runtime::OptionsHandle last_options_ = 0;
  std::deque<Call> calls_;
  std::vector<std::pair<runtime::ObjectRef, runtime::Continuation*>> waiting_;
  std::map<std::string, std::weak_ptr<LocalActor>> names_;
};

// Makes a LocalRuntime the current one while it lives.
class LocalSession {
 public:
  LocalSession();
  ~LocalSession();
  LocalRuntime& runtime() { return *runtime_; }

 private:
  std::unique_ptr<LocalRuntime> runtime_;
};

}  // namespace mobula::tests

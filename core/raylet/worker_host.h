#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/raylet/log_capture.h"
#include "core/raylet/oom_watch.h"
#include "core/raylet/worker_source.h"

namespace mobula::raylet {

struct WorkerHostOptions {
  int secret_fd = -1;  // Not owned.
  std::string raylet_address;
  std::string session_directory;
  std::string node_name;         // For the report of a death.
  std::vector<std::string> env;  // "NAME=value", over the job's own: what the node's settings mean for workers.
  base::Duration start_timeout = std::chrono::seconds(30);  // From the program's being here to WORKER_READY.
  // Finds the job's program on this node, or brings it here.
  std::function<void(const proto::JobInfo& job, std::function<void(base::Result<std::string> path)>)> locate;
};

// The worker processes of this node, from the order to the reaping.  How many there should be is LeaseMachine's.
class WorkerHost {
 public:
  struct Ended {
    base::WorkerId worker;
    base::JobId job;
    bool was_ready = false;  // False: the start has failed.
    proto::ExitCause cause;
  };
  struct Events {
    std::function<void(const base::WorkerId& worker, const base::JobId& job)> ready;
    std::function<void(const Ended&)> ended;  // Once for each worker ordered, but for those of a job that was ended.
  };
  WorkerHost(os::EventLoop& loop, LogCapture& logs, WorkerHostOptions options, Events events);
  ~WorkerHost();  // Ends and reaps all.
  WorkerHost(const WorkerHost&) = delete;
  WorkerHost& operator=(const WorkerHost&) = delete;

  void add_job(const proto::JobInfo& job);  // What its workers run; before the first order.
  // Ends and reaps the job's workers; each gets its last Events::ended from inside this call.
  void end_job(const base::JobId& job);

  void order(const base::JobId& job, std::uint32_t count);
  // A process says that it is a worker: kDenied unless it answers an order, from the process that was started for it.
  base::Result<void> registered(const proto::Register& worker, pid_t peer);
  void ready(const base::WorkerId& worker);  // It is in its task loop.
  // Kills it with its process group; its end is reported with this kind and reason.
  void kill(const base::WorkerId& worker, proto::ExitCause::Kind kind, std::string why, std::string remedy = {});

  struct Worker {
    base::JobId job;
    std::uint64_t token = 0;
    pid_t pid = 0;  // 0 until it was started.
    bool registered = false;
    bool placed = false;  // Its source was asked to start it.
    bool ready = false;
    os::EventLoop::Id deadline = 0;
    proto::ExitCause::Kind killed_as = proto::ExitCause::UNKNOWN;
    std::string killed_why, killed_remedy;
  };
  const std::map<base::WorkerId, Worker>& workers() const { return workers_; }
  pid_t zygote_of(const base::JobId& job) const;  // 0: none.

 private:
  struct Job {
    proto::JobInfo info;
    enum class Place { kUnknown, kSought, kHere } place = Place::kUnknown;  // Of the program.
    WorkerProgram program;
    bool exec = false;
    std::unique_ptr<WorkerSource> source;
    pid_t zygote = 0;
  };
  void seek_program(const base::JobId& id, Job& job);
  void program_sought(const base::JobId& id, const base::Result<std::string>& path);
  void ensure_source(const base::JobId& id, Job& job);
  WorkerSource::Events source_events(const base::JobId& job);
  void look_for_oom_kills();
  void use_exec(const base::JobId& job, int threads);
  void place_order(Job& job, const base::WorkerId& worker);
  void expect_ready(const base::WorkerId& worker, Worker& state);
  void started(std::uint64_t token, pid_t pid);
  void failed(std::uint64_t token, const std::string& why);
  void exited(pid_t pid, os::ExitStatus status);
  void finish(std::map<base::WorkerId, Worker>::iterator worker, proto::ExitCause cause);
  proto::ExitCause cause_of(const Worker& worker, os::ExitStatus status);
  std::map<base::WorkerId, Worker>::iterator by_token(std::uint64_t token);

  os::EventLoop& loop_;
  LogCapture& logs_;
  const WorkerHostOptions options_;
  const Events events_;
  std::map<base::JobId, Job> jobs_;
  std::map<base::WorkerId, Worker> workers_;
  std::map<std::uint64_t, base::WorkerId> tokens_;
  std::map<pid_t, base::WorkerId> pids_;
  OomWatch oom_;
  os::EventLoop::Id oom_look_ = 0;
  std::vector<std::unique_ptr<WorkerSource>>
      retired_;  // Destroyed from the loop: a source may not die in its own call.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mobula::raylet

#include "core/raylet/worker_host.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "core/cluster/child_environment.h"
#include "core/cluster/environment.h"
#include "core/os/log.h"
#include "core/os/random.h"
#include "core/os/session.h"
#include "core/raylet/exec_source.h"
#include "core/raylet/zygote.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::JobId;
using base::Result;
using base::WorkerId;

std::uint64_t random_token() {
  std::uint64_t token = 0;
  os::fill_random(&token, sizeof token);
  return token | 1;
}

// A worker takes this many of our descriptors: its output, pidfd, channel, and what is passed to it.  Without them it
// would start and never be heard.
constexpr std::size_t kDescriptorsPerWorker = 8;

constexpr const char* kStartRemedy =
    "where a limit is named: raise it, or have fewer workers and actors on a node; else read what the program wrote "
    "(mobula logs)";

// Empty, or why there are too few for so many workers more.
std::string lack_of_descriptors(std::size_t workers) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  const os::Fd lowest(::fcntl(0, F_DUPFD_CLOEXEC, 0));  // They are taken from below.
  const std::size_t wanted = workers * kDescriptorsPerWorker;
  if (lowest.valid() && static_cast<std::size_t>(lowest.get()) + wanted <= limit.rlim_cur) return {};
  const std::string used = lowest.valid() ? std::to_string(lowest.get()) : std::to_string(limit.rlim_cur);
  return "the raylet has " + used + " of " + std::to_string(limit.rlim_cur) + " file descriptors in use (ulimit -n)";
}

}  // namespace

WorkerHost::WorkerHost(os::EventLoop& loop, LogCapture& logs, WorkerHostOptions options, Events events)
    : loop_(loop), logs_(logs), options_(std::move(options)), events_(std::move(events)) {
  look_for_oom_kills();
}

WorkerHost::~WorkerHost() {
  *alive_ = false;
  loop_.cancel(oom_look_);
  jobs_.clear();  // Each source kills and reaps what it started.
  for (auto& [id, worker] : workers_) {
    if (worker.deadline != 0) loop_.cancel(worker.deadline);
    logs_.close(id);
  }
}

void WorkerHost::look_for_oom_kills() {
  oom_.look();
  oom_look_ = loop_.after(OomWatch::kLookEvery, [this] { look_for_oom_kills(); });
}

void WorkerHost::add_job(const proto::JobInfo& info) {
  const auto id = JobId::from_string(info.job_id());
  if (!id || jobs_.contains(*id)) return;
  Job& job = jobs_[*id];
  job.info = info;
  job.info.clear_env();
  job.exec = info.exec_workers();
  job.program.argv.assign(info.argv().begin(), info.argv().end());
  if (job.program.argv.empty()) job.program.argv.push_back(info.exe());
  job.program.env = cluster::child_environment({info.env().begin(), info.env().end()});
  for (const std::string& ours : options_.env) {
    const std::string name = ours.substr(0, ours.find('=') + 1);
    std::erase_if(job.program.env, [&](const std::string& theirs) { return theirs.starts_with(name); });
    job.program.env.push_back(ours);
  }
  job.program.env.push_back(cluster::assignment(cluster::kEnvRaylet, options_.raylet_address));
  job.program.env.push_back(cluster::assignment(cluster::kEnvSession, options_.session_directory));
  job.program.cwd = info.cwd();
  job.program.secret_fd = options_.secret_fd;
  job.program.log = options_.session_directory + "/logs/zygote-" + id->short_hex() + "-" + options_.node_name + ".log";
}

void WorkerHost::seek_program(const JobId& id, Job& job) {
  if (job.place != Job::Place::kUnknown) return;
  job.place = Job::Place::kSought;
  loop_.post([this, alive = alive_, id] {
    const auto it = *alive ? jobs_.find(id) : jobs_.end();
    if (!*alive || it == jobs_.end()) return;
    options_.locate(it->second.info, [this, alive, id](const Result<std::string>& path) {
      if (*alive) program_sought(id, path);
    });
  });
}

void WorkerHost::program_sought(const JobId& id, const Result<std::string>& path) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return;
  Job& job = it->second;
  job.place = path ? Job::Place::kHere : Job::Place::kUnknown;
  if (path) {
    job.program.exe = *path;
    // On a node that shares no files with the driver's, its working directory need not exist.
    if (!os::is_directory(job.program.cwd)) {
      os::log(os::LogLevel::kWarn, "job {}: there is no directory {} here; its workers begin in {}", id.short_hex(),
              job.program.cwd, options_.session_directory);
      job.program.cwd = options_.session_directory;
    }
    ensure_source(id, job);
  }
  std::vector<std::pair<WorkerId, std::uint64_t>> orders;
  for (const auto& [worker, state] : workers_) {
    if (state.job == id && !state.placed) orders.emplace_back(worker, state.token);
  }
  for (const auto& [worker, token] : orders) {
    if (path) {
      place_order(job, worker);
    } else {
      failed(token, path.error().what);
    }
  }
}

void WorkerHost::end_job(const JobId& id) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return;
  it->second.source.reset();  // Reaped when this returns.
  jobs_.erase(it);
  for (auto worker = workers_.begin(); worker != workers_.end();) {
    const auto next = std::next(worker);
    if (worker->second.job == id) {
      proto::ExitCause cause;
      cause.set_kind(proto::ExitCause::JOB_ENDED);
      cause.set_text("its job has ended");
      finish(worker, std::move(cause));
    }
    worker = next;
  }
}

void WorkerHost::ensure_source(const JobId& id, Job& job) {
  if (job.source != nullptr) return;
  if (!job.exec) {
    auto zygote =
        Zygote::spawn(loop_, job.program, source_events(id), [this, id](int threads) { use_exec(id, threads); });
    if (zygote) {
      job.zygote = (*zygote)->pid();
      job.source = std::move(*zygote);
      return;
    }
    os::log(os::LogLevel::kWarn, "no zygote for job {}: {}", id.short_hex(), zygote.error().what);
  }
  job.source = std::make_unique<ExecSource>(loop_, job.program, source_events(id));
}

WorkerSource::Events WorkerHost::source_events(const JobId& id) {
  return {
      .started = [this](std::uint64_t token, pid_t pid) { started(token, pid); },
      .failed = [this](std::uint64_t token, const std::string& why) { failed(token, why); },
      .exited = [this](pid_t pid, os::ExitStatus status) { exited(pid, status); },
      .ended =
          [this, id](const std::string& why) {
            os::log(os::LogLevel::kInfo, "job {}: {}", id.short_hex(), why);
            const auto it = jobs_.find(id);
            if (it == jobs_.end()) return;
            it->second.zygote = 0;
            it->second.place = Job::Place::kUnknown;  // It may have been replaced or removed.
            retired_.push_back(std::move(it->second.source));
            loop_.post([this, alive = alive_] {
              if (*alive) retired_.clear();
            });
          },
  };
}

// The program has threads before init(): what was ordered is ordered again, by exec.
void WorkerHost::use_exec(const JobId& id, int threads) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return;
  os::log(os::LogLevel::kInfo, "job {} has {} threads before init(): its workers are started by exec", id.short_hex(),
          threads);
  it->second.exec = true;
  it->second.zygote = 0;
  retired_.push_back(std::move(it->second.source));
  loop_.post([this, alive = alive_, id] {
    if (!*alive) return;
    retired_.clear();
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return;
    ensure_source(id, job->second);
    for (auto& [worker, state] : workers_) {
      if (state.job != id || state.pid != 0) continue;
      logs_.close(worker);
      place_order(job->second, worker);
    }
  });
}

void WorkerHost::order(const JobId& id, std::uint32_t count) {
  const auto it = jobs_.find(id);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto worker = os::random_id<WorkerId>();
    Worker& state = workers_[worker];
    state.job = id;
    state.token = random_token();
    tokens_[state.token] = worker;
    if (it != jobs_.end()) {
      if (it->second.place != Job::Place::kHere) {
        seek_program(id, it->second);  // The order is placed when it is here.
        continue;
      }
      ensure_source(id, it->second);
      place_order(it->second, worker);
    } else {
      loop_.post([this, alive = alive_, token = state.token] {
        if (*alive) failed(token, "the job is not known on this node");
      });
    }
  }
}

void WorkerHost::expect_ready(const WorkerId& id, Worker& worker) {
  if (worker.deadline != 0) loop_.cancel(worker.deadline);
  worker.deadline = loop_.after(options_.start_timeout, [this, id] {
    const auto late = workers_.find(id);
    if (late == workers_.end()) return;
    late->second.deadline = 0;
    if (late->second.pid == 0) return failed(late->second.token, "the program did not reach init() in time");
    kill(id, proto::ExitCause::START_FAILED, "the worker did not report ready in time");
  });
}

void WorkerHost::place_order(Job& job, const WorkerId& id) {
  Worker& worker = workers_.at(id);
  expect_ready(id, worker);
  const auto refuse = [&](std::string why) {
    loop_.post([this, alive = alive_, token = worker.token, why = std::move(why)] {
      if (*alive) failed(token, why);
    });
  };
  const auto starting =
      std::ranges::count_if(workers_, [](const auto& w) { return w.second.placed && !w.second.ready; });
  std::string why = lack_of_descriptors(static_cast<std::size_t>(starting) + 1);
  if (!why.empty()) return refuse(std::move(why));
  auto output = logs_.open(id, worker.job);
  if (!output) return refuse(output.error().what);
  worker.placed = true;
  job.source->start({worker.token, id, worker.job, output->out.get(), output->err.get()});
}

std::map<WorkerId, WorkerHost::Worker>::iterator WorkerHost::by_token(std::uint64_t token) {
  const auto it = tokens_.find(token);
  return it == tokens_.end() ? workers_.end() : workers_.find(it->second);
}

void WorkerHost::started(std::uint64_t token, pid_t pid) {
  const auto it = by_token(token);
  if (it == workers_.end()) return;
  it->second.pid = pid;
  pids_[pid] = it->first;
  logs_.set_pid(it->first, pid);
  if (it->second.killed_as != proto::ExitCause::UNKNOWN) jobs_.at(it->second.job).source->kill(pid);
}

void WorkerHost::failed(std::uint64_t token, const std::string& why) {
  const auto it = by_token(token);
  if (it == workers_.end()) return;
  proto::ExitCause cause;
  cause.set_kind(proto::ExitCause::START_FAILED);
  cause.set_text("no worker could be started on " + options_.node_name + ": " + why);
  finish(it, std::move(cause));
}

void WorkerHost::exited(pid_t pid, os::ExitStatus status) {
  const auto known = pids_.find(pid);
  if (known == pids_.end()) return;
  const auto it = workers_.find(known->second);
  finish(it, cause_of(it->second, status));
}

proto::ExitCause WorkerHost::cause_of(const Worker& worker, os::ExitStatus status) {
  proto::ExitCause cause;
  cause.set_kind(status.signaled ? proto::ExitCause::SIGNAL : proto::ExitCause::EXIT);
  cause.set_code(status.code);
  std::string text =
      "worker " + std::to_string(worker.pid) + " on " + options_.node_name + " ended with " + status.to_string();
  if (worker.killed_as != proto::ExitCause::UNKNOWN) {
    cause.set_kind(worker.killed_as);
    text += ": " + worker.killed_why;
    cause.set_remedy(worker.killed_remedy);
  } else if (!worker.ready) {
    text += " before it was ready";
  }
  cause.set_text(std::move(text));
  if (worker.killed_as == proto::ExitCause::UNKNOWN) oom_.explain(status, cause);
  return cause;
}

void WorkerHost::finish(std::map<WorkerId, Worker>::iterator it, proto::ExitCause cause) {
  Ended ended{it->first, it->second.job, it->second.ready, std::move(cause)};
  if (it->second.deadline != 0) loop_.cancel(it->second.deadline);
  tokens_.erase(it->second.token);
  pids_.erase(it->second.pid);
  for (auto& line : logs_.close(it->first)) ended.cause.add_last_lines(std::move(line));
  if (!ended.was_ready && ended.cause.remedy().empty()) ended.cause.set_remedy(kStartRemedy);
  workers_.erase(it);
  events_.ended(ended);
}

Result<void> WorkerHost::registered(const proto::Register& request, pid_t peer) {
  const auto it = by_token(request.start_token());
  if (it == workers_.end() || it->first.bytes() != request.worker_id() || it->second.job.bytes() != request.job_id()) {
    return Error{Code::kDenied, "no worker was started under this id"};
  }
  // The report of the fork may still be on its way: then the pid is believed when it comes.
  if (it->second.registered || (it->second.pid != 0 && peer != 0 && peer != it->second.pid)) {
    return Error{Code::kDenied, "another process answers this start"};
  }
  it->second.registered = true;
  return {};
}

void WorkerHost::ready(const WorkerId& id) {
  const auto it = workers_.find(id);
  if (it == workers_.end() || !it->second.registered) return;
  it->second.ready = true;
  if (it->second.deadline != 0) loop_.cancel(std::exchange(it->second.deadline, 0));
  events_.ready(id, it->second.job);
}

void WorkerHost::kill(const WorkerId& id, proto::ExitCause::Kind kind, std::string why, std::string remedy) {
  const auto it = workers_.find(id);
  if (it == workers_.end()) return;
  it->second.killed_as = kind;
  it->second.killed_why = std::move(why);
  it->second.killed_remedy = std::move(remedy);
  const auto job = jobs_.find(it->second.job);
  if (it->second.pid != 0 && job != jobs_.end() && job->second.source != nullptr)
    job->second.source->kill(it->second.pid);
}

pid_t WorkerHost::zygote_of(const JobId& job) const {
  const auto it = jobs_.find(job);
  return it == jobs_.end() ? 0 : it->second.zygote;
}

}  // namespace mobula::raylet

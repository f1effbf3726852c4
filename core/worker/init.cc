#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/base/build_info.h"
#include "core/cluster/embedded.h"
#include "core/cluster/environment.h"
#include "core/cluster/launched.h"
#include "core/cluster/roles.h"
#include "core/cluster/settings_load.h"
#include "core/os/forks.h"
#include "core/os/host.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/worker/current.h"
#include "core/worker/preemption.h"
#include "core/worker/process.h"
#include "core/worker/runtime.h"
#include "core/worker/saved_state.h"
#include "core/worker/zygote_main.h"
#include "slurm/identity.h"
#include "slurm/mpi_list.h"
#include "slurm/mpi_order.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;

constexpr auto kJobEndTimeout = std::chrono::seconds(5);

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "mobula: %s\n", what.c_str());
  std::fflush(stderr);
  ::_exit(1);
}

base::Result<base::Duration> seconds(const char* name, base::Duration otherwise) {
  const std::string text = variable(name);
  if (text.empty()) return otherwise;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !(value > 0) || value > 1e9) {
    return Error{Code::kInvalid, std::string(name) + " is '" + text + "'; a number of seconds above 0 is wanted"};
  }
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(value));
}

base::Result<Collectives::Options> collective_options() {
  Collectives::Options options;
  if (auto set = options.table.override_with(variable("MOBULA_COLLECTIVES")); !set) return set.error();
  const auto patience = seconds("MOBULA_COLLECTIVE_PATIENCE_S", options.patience);
  if (!patience) return patience.error();
  const auto hang_limit = seconds("MOBULA_HANG_LIMIT_S", options.hang_limit);
  if (!hang_limit) return hang_limit.error();
  options.patience = *patience;
  options.hang_limit = *hang_limit;
  using Memory = Collectives::Options::Memory;
  const std::string memory = variable("MOBULA_COLLECTIVE_MEMORY");
  options.memory = memory == "0" ? Memory::kNone : memory == "staged" ? Memory::kStaged : Memory::kDirect;
  return options;
}

// A worker, forked or exec'd: joins its raylet and runs calls until the end.
[[noreturn]] void be_worker(const worker::WorkerStart& start, const os::Secret& secret) {
  const SavedState saved_state = SavedState::from_variable(variable(cluster::kEnvSavedState));
  // Programs that the user's code starts are not workers.
  for (const char* name : {cluster::kEnvRole, cluster::kEnvSecretFd, cluster::kEnvZygoteFd, cluster::kEnvSavedState}) {
    ::unsetenv(name);
  }
  os::start_log({.process = "worker " + start.worker.short_hex(), .file = {}});
  os::set_process_name("mobula-worker");
  ProcessOptions options;
  options.worker = start.worker;
  options.job = start.job;
  options.raylet_address = start.raylet_address;
  options.transports.session_directory = start.session_directory;
  options.start_token = start.token;
  options.saved_state = saved_state;
  options.transports.node_link = variable("MOBULA_NODE_LINK");
  options.transports.interface = variable("MOBULA_INTERFACE");
  options.registration.set_wire_version(base::kWireVersion);
  options.registration.set_build_id(os::self_build_id());
  auto collectives = collective_options();
  if (!collectives) die(collectives.error().what);
  options.collectives = std::move(*collectives);
  auto process = Process::join(options, secret);
  if (!process) die("the worker cannot join its raylet: " + process.error().what);
  Process* const forever = process->release();  // Ends by _exit(): its threads never stop.
  set_current_process(forever);
  forever->work();
}

[[noreturn]] void be_zygote() {
  outlive_job_signals();
  auto secret = cluster::inherited_secret();
  if (!secret) die(secret.error().what);
  auto start = worker::run_zygote();  // Returns in each forked worker.
  if (!start) die(start.error().what);
  be_worker(*start, *secret);
}

[[noreturn]] void be_exec_worker() {
  outlive_job_signals();
  auto secret = cluster::inherited_secret();
  if (!secret) die(secret.error().what);
  auto start = worker::worker_from_environment();
  if (!start) die(start.error().what);
  be_worker(*start, *secret);
}

void describe_job(proto::Register& r, int argc, char** argv, const InitOptions& options) {
  r.set_wire_version(base::kWireVersion);
  r.set_build_id(os::self_build_id());
  r.set_exe(os::self_exe());
  for (int i = 0; i < argc; ++i) r.add_argv(argv[i]);
  for (const std::string& v : os::environment()) r.add_env(v);
  char cwd[4096];
  if (::getcwd(cwd, sizeof cwd) != nullptr) r.set_cwd(cwd);
  const std::string exe = os::self_exe();
  r.set_name(exe.substr(exe.rfind('/') + 1));
  r.set_exec_workers(options.exec_workers);
}

// A driver's session: its job, and the cluster when it is embedded.
class DriverSession final : public SessionImpl {
 public:
  static Result<std::unique_ptr<SessionImpl>> start(int argc, char** argv, const InitOptions& options) {
    os::watch_forks();
    auto collectives = collective_options();
    if (!collectives) return collectives.error();
    auto session = std::make_unique<DriverSession>();
    const auto joined = session->find_cluster(options);
    if (!joined) return joined.error();
    ProcessOptions p;
    p.is_driver = true;
    p.worker = os::random_id<base::WorkerId>();
    p.job = session->job_;
    p.is_member = session->rank_ != 0;
    if (p.is_member) p.join_timeout += session->start_time();  // Rank 0 waits for all nodes before it makes the job.
    p.raylet_address = session->raylet_;
    p.transports.session_directory = session->directory_;
    p.transports.node_link = session->node_link_;
    p.transports.interface = session->interface_;
    p.collectives = std::move(*collectives);
    describe_job(p.registration, argc, argv, options);
    const auto environment = os::environment();
    p.saved_state = SavedState::from_settings(session->settings_, environment, p.registration.name());
    p.registration.add_env(cluster::assignment(cluster::kEnvSavedState, p.saved_state.to_variable()));
    auto preempt = preempt_options(session->settings_, environment);
    if (!preempt) return preempt.error();
    auto process = Process::join(p, *session->secret_);
    if (!process) {
      return Error{process.error().code, "the driver cannot join the cluster: " + process.error().what};
    }
    session->process_ = std::move(*process);
    set_current_process(session->process_.get());
    preempt->leads = session->rank_ == 0;
    if (session->cluster_ != nullptr) preempt->session = session->directory_;
    session->preemption_ =
        std::make_unique<Preemption>(std::move(*preempt), *session->process_, session->process_->preempt_callbacks(),
                                     [own = session.get()] { own->end_cluster(); });
    return std::unique_ptr<SessionImpl>(std::move(session));
  }

  ~DriverSession() override {
    if (os::fork_generation() != generation_) {
      leave_to_the_original();
      return;
    }
    preemption_.reset();
    if (process_ == nullptr) return;
    const bool in_order = std::uncaught_exceptions() == 0;
    if (in_order && rank_ == 0 && size_ > 1) process_->wait_for_members(size_ - 1);
    set_current_process(nullptr);
    // Threads of the program that are in a call still.
    if (!calls_have_ended(base::Duration::zero())) process_->end_calls();
    process_->finish_job(in_order, kJobEndTimeout);
    if (calls_have_ended(kJobEndTimeout)) {
      process_.reset();
    } else {
      (void)process_.release();  // Whoever is in there keeps what it uses.
    }
    // Of another rank: its node serves the others until rank 0 has ended the job.
    if (in_order && rank_ != 0 && launched_ != nullptr) (void)launched_->serve();
  }

  std::uint32_t rank() const override { return rank_; }
  std::uint32_t size() const override { return size_; }

 private:
  // Does not return in a launcher's task that runs no user code.
  Result<void> find_cluster(const InitOptions& options) {
    auto settings = settings_of(options);
    if (!settings) return settings.error();
    settings_ = std::move(*settings);
    if (!variable(cluster::kEnvRaylet).empty()) return join_running();
    const slurm::Environment environment = slurm::to_environment(os::environment());
    auto identity = slurm::identify(environment);
    if (!identity) return identity.error();
    if (slurm::mpi_was_initialized()) {
      return Error{Code::kInvalid,
                   "MPI was initialised before mobula::init(): call mobula::init() first, since the processes that it "
                   "starts must have nothing of MPI"};
    }
    if (!identity->is_launched() || identity->is_alone()) return embed();
    return be_task({.identity = std::move(*identity),
                    .all_ranks = options.all_ranks,
                    .slurm_conf = std::string(slurm::value_of(environment, "SLURM_CONF"))});
  }

  // srun without a PMI: an MPI would fail, or take each task for one of its own.
  static bool mpi_would_be_lost(const slurm::Identity& identity) {
    return identity.launcher == slurm::Launcher::kSrun && identity.mpi_type.empty() && !identity.pmi_fd &&
           !identity.has_pmix && slurm::program_has_mpi();
  }

  Result<void> be_task(cluster::LaunchedCluster::Options task) {
    if (task.all_ranks && mpi_would_be_lost(task.identity)) {
      if (task.identity.rank != 0) ::_exit(1);  // Once is enough.
      const std::string kinds = slurm::mpi_list_of_site();
      return Error{Code::kUnavailable,
                   "this program has an MPI, and srun has given it no PMI: each of the " +
                       std::to_string(task.identity.size) +
                       " processes would believe that it is rank 0 of 1, or fail in MPI_Init; start it with srun "
                       "--mpi=pmix or --mpi=pmi2, whichever its MPI was built for" +
                       (kinds.empty() ? std::string() : " (this site's srun has: " + kinds + ")")};
    }
    const std::uint32_t rank = task.identity.rank;
    const bool all_ranks = task.all_ranks;
    auto launched = cluster::LaunchedCluster::start(std::move(task), settings_);
    if (!launched && rank != 0) die("rank " + std::to_string(rank) + ": " + launched.error().what);
    if (!launched) return launched.error();
    launched_ = std::move(*launched);
    if (!launched_->runs_user_code()) {
      const int code = launched_->serve();
      launched_.reset();
      ::_exit(code);
    }
    const auto& seat = launched_->seat();
    raylet_ = seat.raylet_address;
    directory_ = seat.session_directory;
    node_link_ = settings_.text("node_link");
    interface_ = seat.interface;
    job_ = seat.job;
    if (all_ranks) {
      rank_ = launched_->identity().rank;
      size_ = launched_->identity().size;
    }
    return copy_secret(launched_->secret());
  }

  Result<base::Settings> settings_of(const InitOptions& options) {
    // What the program asks for is weaker than what its user sets.
    base::Settings own;
    if (options.nodes > 1)
      (void)own.set("nodes", std::to_string(options.nodes), base::SettingSource::kDefault, "init()");
    for (const auto& [key, value] : options.settings) {
      const auto known = own.set(key, value, base::SettingSource::kDefault, "init()");
      if (!known) return known.error();
    }
    return cluster::load_settings(std::move(own));
  }

  Result<void> embed() {
    const auto embedded = cluster::embedded_options(settings_);
    if (!embedded) return embedded.error();
    node_link_ = settings_.text("node_link");
    interface_ = embedded->settings.at("interface");
    auto cluster = cluster::EmbeddedCluster::start(*embedded);
    if (!cluster) return cluster.error();
    cluster_ = std::move(*cluster);
    raylet_ = cluster_->raylet_address();
    directory_ = cluster_->session_directory();
    return copy_secret(cluster_->secret());
  }

  base::Duration start_time() const {
    const auto seconds = settings_.number("start_timeout");
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds ? *seconds : 0));
  }

  // A copy of the driver, made by fork(), has none of what this names.
  void leave_to_the_original() {
    (void)preemption_.release();
    (void)process_.release();
    (void)launched_.release();
    (void)cluster_.release();
  }

  // What this process has started; what others have follows by itself.
  void end_cluster() {
    if (cluster_ != nullptr) cluster_->end();
    launched_.reset();
  }

  Result<void> copy_secret(const os::Secret& secret) {
    auto copy = os::Secret::from_bytes(secret.view());
    if (!copy) return copy.error();
    secret_ = std::move(*copy);
    return {};
  }

  Result<void> join_running() {
    raylet_ = variable(cluster::kEnvRaylet);
    directory_ = variable(cluster::kEnvSession);
    node_link_ = variable("MOBULA_NODE_LINK");
    interface_ = variable("MOBULA_INTERFACE");
    auto secret = os::Secret::read_file(variable(cluster::kEnvKeyFile));
    if (!secret) return secret.error();
    secret_ = std::move(*secret);
    return {};
  }

  const std::uint32_t generation_ = os::fork_generation();
  base::Settings settings_;
  std::unique_ptr<cluster::EmbeddedCluster> cluster_;  // This or the next one ends last.
  std::unique_ptr<cluster::LaunchedCluster> launched_;
  base::JobId job_ = os::random_id<base::JobId>();
  std::uint32_t rank_ = 0;
  std::uint32_t size_ = 1;
  std::optional<os::Secret> secret_;
  std::string raylet_;
  std::string directory_;
  std::string node_link_;
  std::string interface_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<Preemption> preemption_;
};

}  // namespace

Result<std::unique_ptr<SessionImpl>> init(int& argc, char**& argv, const InitOptions& options) {
  const std::string role = variable(cluster::kEnvRole);
  if (role == "zygote") be_zygote();
  if (role == "worker") be_exec_worker();
  if (const auto code = cluster::run_role_from_environment()) ::_exit(*code);
  if (current_process() != nullptr) {
    return Error{Code::kInvalid, "mobula::init() was called while a session of this process is open"};
  }
  return DriverSession::start(argc, argv, options);
}

}  // namespace mobula::runtime

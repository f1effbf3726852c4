#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/base/build_info.h"
#include "core/cluster/embedded.h"
#include "core/cluster/environment.h"
#include "core/cluster/interrupt.h"
#include "core/cluster/launched.h"
#include "core/cluster/roles.h"
#include "core/cluster/settings_load.h"
#include "core/os/host.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/worker/current.h"
#include "core/worker/process.h"
#include "core/worker/runtime.h"
#include "core/worker/zygote_main.h"
#include "slurm/identity.h"

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
  options.shared_memory = variable("MOBULA_COLLECTIVE_MEMORY") != "0";
  return options;
}

// A worker, forked or exec'd: joins its raylet and runs calls until the end.
[[noreturn]] void be_worker(const worker::WorkerStart& start, const os::Secret& secret) {
  // Programs that the user's code starts are not workers.
  for (const char* name : {cluster::kEnvRole, cluster::kEnvSecretFd, cluster::kEnvZygoteFd}) ::unsetenv(name);
  os::start_log({.process = "worker " + start.worker.short_hex(), .file = {}});
  os::set_process_name("mobula-worker");
  ProcessOptions options;
  options.worker = start.worker;
  options.job = start.job;
  options.raylet_address = start.raylet_address;
  options.transports.session_directory = start.session_directory;
  options.start_token = start.token;
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
  auto secret = cluster::inherited_secret();
  if (!secret) die(secret.error().what);
  auto start = worker::run_zygote();  // Returns in each forked worker.
  if (!start) die(start.error().what);
  be_worker(*start, *secret);
}

[[noreturn]] void be_exec_worker() {
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
    auto collectives = collective_options();
    if (!collectives) return collectives.error();
    auto session = std::make_unique<DriverSession>();
    const auto joined = session->find_cluster(options);
    if (!joined) return joined.error();
    ProcessOptions p;
    p.is_driver = true;
    p.worker = os::random_id<base::WorkerId>();
    p.job = session->job_;
    p.raylet_address = session->raylet_;
    p.transports.session_directory = session->directory_;
    p.transports.node_link = session->node_link_;
    p.transports.interface = session->interface_;
    p.collectives = std::move(*collectives);
    describe_job(p.registration, argc, argv, options);
    auto process = Process::join(p, *session->secret_);
    if (!process) {
      return Error{process.error().code, "the driver cannot join the cluster: " + process.error().what};
    }
    session->process_ = std::move(*process);
    set_current_process(session->process_.get());
    return std::unique_ptr<SessionImpl>(std::move(session));
  }

  ~DriverSession() override {
    if (process_ == nullptr) return;
    process_->finish_job(std::uncaught_exceptions() == 0, kJobEndTimeout);
    set_current_process(nullptr);
    process_.reset();
  }

 private:
  // Does not return in a launcher's task that runs no user code.
  Result<void> find_cluster(const InitOptions& options) {
    if (!variable(cluster::kEnvRaylet).empty()) return join_running();
    const slurm::Environment environment = slurm::to_environment(os::environment());
    auto identity = slurm::identify(environment);
    if (!identity) return identity.error();
    auto settings = settings_of(options);
    if (!settings) return settings.error();
    settings_ = std::move(*settings);
    if (!identity->is_launched() || identity->is_alone()) return embed();
    if (options.all_ranks) return Error{Code::kInvalid, "ranks = all under a launcher is not there yet"};
    return be_task({.identity = std::move(*identity),
                    .all_ranks = options.all_ranks,
                    .slurm_conf = std::string(slurm::value_of(environment, "SLURM_CONF"))});
  }

  Result<void> be_task(cluster::LaunchedCluster::Options task) {
    const std::uint32_t rank = task.identity.rank;
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
    interrupts_ = std::make_unique<cluster::InterruptGuard>(*cluster_);
    raylet_ = cluster_->raylet_address();
    directory_ = cluster_->session_directory();
    return copy_secret(cluster_->secret());
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

  base::Settings settings_;
  std::unique_ptr<cluster::EmbeddedCluster> cluster_;  // This or the next one ends last.
  std::unique_ptr<cluster::LaunchedCluster> launched_;
  base::JobId job_ = os::random_id<base::JobId>();
  std::unique_ptr<cluster::InterruptGuard> interrupts_;
  std::optional<os::Secret> secret_;
  std::string raylet_;
  std::string directory_;
  std::string node_link_;
  std::string interface_;
  std::unique_ptr<Process> process_;
};

}  // namespace

Result<std::unique_ptr<SessionImpl>> init(int& argc, char**& argv, const InitOptions& options) {
  const std::string role = variable(cluster::kEnvRole);
  if (role == "zygote") be_zygote();
  if (role == "worker") be_exec_worker();
  if (const auto code = cluster::run_role_from_environment()) ::_exit(*code);
  if (current() != nullptr) {
    return Error{Code::kInvalid, "mobula::init() was called while a session of this process is open"};
  }
  return DriverSession::start(argc, argv, options);
}

}  // namespace mobula::runtime

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/base/build_info.h"
#include "core/cluster/embedded.h"
#include "core/cluster/environment.h"
#include "core/cluster/interrupt.h"
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
    auto session = std::make_unique<DriverSession>();
    const auto joined = variable(cluster::kEnvRaylet).empty() ? session->embed(options) : session->join_running();
    if (!joined) return joined.error();
    ProcessOptions p;
    p.is_driver = true;
    p.worker = os::random_id<base::WorkerId>();
    p.job = os::random_id<base::JobId>();
    p.raylet_address = session->raylet_;
    p.transports.session_directory = session->directory_;
    p.transports.node_link = session->node_link_;
    p.transports.interface = session->interface_;
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
  Result<void> embed(const InitOptions& options) {
    // What the program asks for is weaker than what its user sets.
    base::Settings own;
    if (options.nodes > 1)
      (void)own.set("nodes", std::to_string(options.nodes), base::SettingSource::kDefault, "init()");
    for (const auto& [key, value] : options.settings) {
      const auto known = own.set(key, value, base::SettingSource::kDefault, "init()");
      if (!known) return known.error();
    }
    const auto settings = cluster::load_settings(std::move(own));
    if (!settings) return settings.error();
    const auto embedded = cluster::embedded_options(*settings);
    if (!embedded) return embedded.error();
    node_link_ = settings->text("node_link");
    interface_ = settings->text("interface");
    auto cluster = cluster::EmbeddedCluster::start(*embedded);
    if (!cluster) return cluster.error();
    cluster_ = std::move(*cluster);
    interrupts_ = std::make_unique<cluster::InterruptGuard>(*cluster_);
    raylet_ = cluster_->raylet_address();
    directory_ = cluster_->session_directory();
    auto copy = os::Secret::from_bytes(cluster_->secret().view());
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

  std::unique_ptr<cluster::EmbeddedCluster> cluster_;  // Ends last.
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

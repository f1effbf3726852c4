#include "tests/node/process_roles.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/base/build_info.h"
#include "core/cluster/roles.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/rpc/rpc.h"
#include "core/worker/zygote_main.h"

namespace mobula::testing {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

[[noreturn]] void be_worker(const worker::WorkerStart& start, const os::Secret& secret) {
  const std::string behaviour = variable("NODE_TEST");
  if (behaviour == "crash-on-start") {
    std::fprintf(stderr, "about to crash\n");
    ::raise(SIGSEGV);
  }
  os::EventLoop loop;
  transport::ChannelOptions options;
  std::copy(secret.view().begin(), secret.view().end(), options.credentials.key.begin());
  options.credentials.self = {start.worker, 1, "worker"};
  auto rpc = rpc::Rpc::connect(loop, start.raylet_address, options,
                               {.ready = nullptr, .closed = [](const base::Error&) { ::_exit(0); }});
  if (!rpc) ::_exit(9);
  rpc::Rpc& raylet = **rpc;
  raylet.serve(proto::EXIT, [](rpc::Message&&, rpc::Responder) { ::_exit(0); });
  raylet.on<proto::CreateActor>(proto::CREATE_ACTOR, [&raylet](proto::CreateActor&& create, rpc::Responder) {
    proto::ActorStarted started;
    started.set_actor_id(create.spec().actor_id());
    started.set_incarnation(create.incarnation());
    started.set_ok(true);
    (void)raylet.notify(proto::ACTOR_STARTED, started);
  });
  proto::Register request;
  request.set_kind(proto::Register::WORKER);
  request.set_worker_id(start.worker.bytes());
  request.set_job_id(start.job.bytes());
  request.set_start_token(start.token);
  request.set_pid(::getpid());
  request.set_wire_version(base::kWireVersion);
  request.set_build_id(os::self_build_id());
  request.mutable_address()->set_pid(::getpid());
  raylet.call(proto::REGISTER, request, std::chrono::seconds(5), [&](base::Result<rpc::Message> registered) {
    if (!registered) {
      std::fprintf(stderr, "not registered: %s\n", registered.error().what.c_str());
      ::_exit(8);
    }
    if (behaviour == "speak") {
      std::printf("hello from a worker\n");
      for (int i = 0; i < 5; ++i) std::fprintf(stderr, "the same line\n");
    }
    if (behaviour != "mute") (void)raylet.notify(proto::WORKER_READY, proto::Empty());
  });
  loop.run();
  ::_exit(7);
}

}  // namespace

void take_role() {
  const std::string role = variable("MOBULA_ROLE");
  if (role == "zygote" || role == "worker") {
    if (variable("NODE_TEST") == "threads") std::thread([] { ::pause(); }).detach();
    const auto secret = cluster::inherited_secret();
    if (!secret) ::_exit(6);
    const auto start = role == "zygote" ? worker::run_zygote() : worker::worker_from_environment();
    if (!start) ::_exit(5);
    be_worker(*start, *secret);
  }
  if (const auto code = cluster::run_role_from_environment()) ::_exit(*code);
}

}  // namespace mobula::testing

#include "core/worker/raylet_news.h"

#include <stdlib.h>
#include <unistd.h>

#include <utility>

#include "core/base/cpu_set.h"
#include "core/base/settings.h"
#include "core/os/bind.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/worker/log_line.h"

namespace mobula::runtime {

using base::Code;
using base::Error;
using base::ErrorKind;

void RayletNews::serve_leases() {
  rpc::Rpc& rpc = p_.raylet.rpc();
  using rpc::Responder;
  rpc.on<proto::Grant>(proto::GRANT, [this](proto::Grant&& m, Responder r) { p_.submitter.on_grant(m, std::move(r)); });
  rpc.on<proto::ReturnLease>(proto::RECALL,
                             [this](proto::ReturnLease&& m, Responder) { p_.submitter.on_recall(m.lease_id()); });
  rpc.on<proto::WorkerLost>(proto::WORKER_LOST,
                            [this](proto::WorkerLost&& m, Responder) { p_.submitter.on_worker_lost(m); });
  rpc.on<proto::Unschedulable>(proto::UNSCHEDULABLE,
                               [this](proto::Unschedulable&& m, Responder) { p_.submitter.on_unschedulable(m); });
}

void RayletNews::serve() {
  serve_leases();
  p_.time.set_end(p_.raylet.registration().end_unix_ms);
  rpc::Rpc& rpc = p_.raylet.rpc();
  using rpc::Responder;
  rpc.on<proto::ActorInfo>(proto::ACTOR_CHANGED, [this](proto::ActorInfo&& m, Responder) { p_.actors.on_info(m); });
  rpc.on<proto::CreateActor>(proto::CREATE_ACTOR,
                             [this](proto::CreateActor&& m, Responder) { p_.executor.create_actor(m); });
  rpc.on<proto::NodeDead>(proto::NODE_DEAD, [this](proto::NodeDead&& m, Responder) {
    const auto node = base::NodeId::from_string(m.node_id());
    if (!node) return;
    p_.links.declare_node_lost(*node, {Code::kLost, "node " + node->short_hex() + " has died: " + m.why()});
    p_.references.on_node_dead(*node, m.why());
    p_.engine.notify();
  });
  rpc.on<proto::Binding>(proto::BIND, [this](proto::Binding&& m, Responder responder) {
    bind(m);
    responder.reply(proto::Empty());
  });
  rpc.on<proto::Exit>(proto::EXIT, [this](proto::Exit&& m, Responder) {
    if (reader_ == Reader::kDriver) return;
    if (m.force()) ::_exit(0);
    p_.executor.exit_when_idle();
  });
  rpc.on<proto::ClusterDown>(proto::CLUSTER_DOWN, [this](proto::ClusterDown&& m, Responder) { cluster_down(m.why()); });
  rpc.on<proto::SaveState>(proto::SAVE_STATE,
                           [this](proto::SaveState&& m, Responder r) { p_.executor.save_state(m, r); });
  rpc.on<proto::TimeLimit>(proto::TIME_LIMIT,
                           [this](proto::TimeLimit&& m, Responder) { p_.time.set_end(m.end_unix_ms()); });
  if (!setting("log_to_driver")) {
    rpc.on<proto::LogLines>(proto::LOG_LINES, [](proto::LogLines&&, Responder) {});
  } else if (setting("fold_logs")) {
    rpc.on<proto::LogLines>(proto::LOG_LINES, [this](proto::LogLines&& m, Responder) { take_lines(std::move(m)); });
  } else {
    rpc.on<proto::LogLines>(proto::LOG_LINES, [](proto::LogLines&& m, Responder) {
      for (const proto::LogLine& line : m.lines()) print_log_line(line);
    });
  }
  p_.raylet.on_closed([this](const Error& why) {
    if (reader_ == Reader::kWorker) ::_exit(1);  // A worker dies with its raylet.
    cluster_down("the connection to this node's raylet has ended: " + why.what);
  });
}

RayletNews::~RayletNews() {
  p_.engine.loop().cancel(fold_timer_);
  flush_lines();
}

// The node's, unless this process was told otherwise.
bool RayletNews::setting(const std::string& key) const { return p_.raylet.settings().flag(key); }

void RayletNews::take_lines(proto::LogLines&& lines) {
  base::Outbox<FoldedLine> out;
  for (proto::LogLine& line : *lines.mutable_lines()) fold_.add(os::now(), std::move(line), out);
  show(out);
}

void RayletNews::show(const base::Outbox<FoldedLine>& lines) {
  for (const FoldedLine& folded : lines) print_log_line(folded.line, folded.across);
  p_.engine.loop().cancel(fold_timer_);
  fold_timer_ = 0;
  const auto deadline = fold_.next_deadline();
  if (!deadline) return;
  fold_timer_ = p_.engine.loop().at(*deadline, [this] {
    base::Outbox<FoldedLine> out;
    fold_.tick(os::now(), out);
    show(out);
  });
}

void RayletNews::flush_lines() {
  base::Outbox<FoldedLine> out;
  fold_.flush(out);
  show(out);
}

// Before the lease that it is for has sent anything: nothing of the user's runs.
void RayletNews::bind(const proto::Binding& message) {
  if (reader_ == Reader::kDriver) return;
  if (const auto cpus = base::CpuSet::parse(message.pus()); cpus && !cpus->empty()) {
    const auto bound = os::bind_process(*cpus);
    if (!bound) os::log(os::LogLevel::kWarn, "not bound: {}", bound.error().what);
  }
  if (message.sees_gpus()) ::setenv("CUDA_VISIBLE_DEVICES", message.gpus().c_str(), 1);
  // For libraries that are told which NIC to use.
  if (message.nic().empty()) {
    ::unsetenv("MOBULA_NIC");
  } else {
    ::setenv("MOBULA_NIC", message.nic().c_str(), 1);
  }
  p_.scopes.set_captured_group(
      base::PlacementGroupId::from_string(message.captured_group()).value_or(base::PlacementGroupId{}));
}

void RayletNews::fail_all(const ErrorInfo& error) {
  p_.submitter.fail_all(error);
  p_.actors.fail_all(error);
  p_.references.fail_all(error);
  p_.engine.notify();
}

void RayletNews::end_calls() {
  if (down_) return;
  ErrorInfo error;
  error.kind = ErrorKind::kCancelled;
  error.what = "the session ended while this call was under way";
  error.remedy = "join the threads that use Mobula before what mobula::init() returned is destroyed";
  fail_all(error);
}

void RayletNews::cluster_down(const std::string& why) {
  flush_lines();
  if (down_) return;
  ErrorInfo error;
  error.kind = ErrorKind::kClusterDown;
  error.what = "the cluster has gone: " + why;
  error.remedy = "start it again; `mobula logs` shows what a cluster wrote that `mobula start` had started";
  down_ = error;
  fail_all(error);
  if (reader_ == Reader::kWorker) ::_exit(1);
}

}  // namespace mobula::runtime

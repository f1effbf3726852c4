#include "tests/node/test_driver.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "core/base/build_info.h"
#include "core/cluster/convert.h"
#include "core/os/process.h"
#include "core/os/random.h"

namespace mobula::testing {

TestDriver::~TestDriver() { rpc_.reset(); }

transport::ChannelOptions TestDriver::channel_options(const os::Secret& secret) const {
  transport::ChannelOptions options;
  std::copy(secret.view().begin(), secret.view().end(), options.credentials.key.begin());
  options.credentials.self = {id, 1, "driver"};
  return options;
}

std::string TestDriver::connect(const std::string& raylet, const os::Secret& secret,
                                std::vector<std::string> extra_env) {
  id = os::random_id<base::WorkerId>();
  job = os::random_id<base::JobId>();
  auto rpc = rpc::Rpc::connect(
      loop_, raylet, channel_options(secret),
      {.ready = nullptr, .closed = [this](const base::Error& why) { down.push_back("closed: " + why.what); }});
  if (!rpc) return rpc.error().what;
  rpc_ = std::move(*rpc);
  rpc_->on<proto::Grant>(proto::GRANT, [this](proto::Grant&& m, rpc::Responder responder) {
    const auto known = [&](const proto::Grant& g) { return g.lease_id() == m.lease_id(); };
    if (std::none_of(grants.begin(), grants.end(), known)) grants.push_back(m);
    responder.reply(proto::Empty());
  });
  rpc_->on<proto::Unschedulable>(proto::UNSCHEDULABLE,
                                 [this](proto::Unschedulable&& m, rpc::Responder) { unschedulable.push_back(m); });
  rpc_->on<proto::WorkerLost>(proto::WORKER_LOST, [this](proto::WorkerLost&& m, rpc::Responder) { lost.push_back(m); });
  rpc_->on<proto::LogLines>(proto::LOG_LINES, [this](proto::LogLines&& m, rpc::Responder) {
    for (const auto& line : m.lines()) lines.push_back(line);
  });
  rpc_->on<proto::ActorInfo>(proto::ACTOR_CHANGED,
                             [this](proto::ActorInfo&& m, rpc::Responder) { actors.push_back(m); });
  rpc_->on<proto::NodeDead>(proto::NODE_DEAD, [this](proto::NodeDead&& m, rpc::Responder) { dead_nodes.push_back(m); });
  rpc_->on<proto::ClusterDown>(proto::CLUSTER_DOWN,
                               [this](proto::ClusterDown&& m, rpc::Responder) { down.push_back(m.why()); });
  proto::Register request;
  request.set_kind(proto::Register::DRIVER);
  request.set_worker_id(id.bytes());
  request.set_job_id(job.bytes());
  request.set_pid(::getpid());
  request.set_wire_version(wire_version);
  request.set_build_id(build_id);
  request.set_exe(os::self_exe());
  request.add_argv("node-test");
  for (const auto& v : os::environment()) request.add_env(v);
  for (const auto& v : extra_env) request.add_env(v);
  std::optional<std::string> answer;
  rpc_->call(proto::REGISTER, request, std::chrono::seconds(10), [&](base::Result<rpc::Message> reply) {
    answer = reply ? std::string() : reply.error().what;
    if (!reply || !rpc::Rpc::parse(reply->payload, registered)) return;
    auto client = objstore::StoreClient::attach(std::move(reply->fds.at(0)), std::move(reply->fds.at(1)),
                                                registered.store_slot());
    if (client) store_.emplace(std::move(*client));
  });
  wait([&] { return answer.has_value(); }, std::chrono::seconds(15));
  return answer.value_or("no answer");
}

void TestDriver::demand(std::uint32_t key, std::uint32_t want, const base::Resources& shape,
                        const proto::Strategy& strategy) {
  proto::Demand m;
  m.set_key(key);
  m.set_sequence(++sequence_);
  m.set_want(want);
  *m.mutable_shape() = cluster::to_proto(shape);
  *m.mutable_strategy() = strategy;
  rpc_->call(proto::DEMAND, m, std::chrono::seconds(10), [](base::Result<rpc::Message>) {});
}

void TestDriver::return_lease(const std::string& lease) {
  proto::ReturnLease m;
  m.set_lease_id(lease);
  m.set_worker_usable(true);
  rpc_->call(proto::RETURN_LEASE, m, std::chrono::seconds(10), [](base::Result<rpc::Message>) {});
}

bool TestDriver::finish_job() {
  proto::JobFinished m;
  m.set_job_id(job.bytes());
  m.set_state(proto::JobInfo::SUCCEEDED);
  bool ok = false;
  bool answered = false;
  rpc_->call(proto::JOB_FINISHED, m, std::chrono::seconds(8), [&](base::Result<rpc::Message> reply) {
    ok = reply.ok();
    answered = true;
  });
  wait([&] { return answered; });
  return ok;
}

std::string TestDriver::ask(proto::MessageType type, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply) {
  std::optional<std::string> answer;
  rpc_->call(type, request, std::chrono::seconds(20), [&](base::Result<rpc::Message> message) {
    answer = message ? std::string() : message.error().what;
    if (message && !rpc::Rpc::parse(message->payload, reply)) answer = "malformed";
  });
  wait([&] { return answer.has_value(); }, std::chrono::seconds(25));
  return answer.value_or("no answer");
}

std::string TestDriver::put(const base::ObjectId& object, base::ConstBytes value) {
  auto allocation = store_->allocate(value.size());
  if (!allocation) {
    proto::LeaseSlab request;
    request.set_bytes(store_->slab_bytes_needed());
    proto::SlabGrant slab;
    const std::string refused = ask(proto::LEASE_SLAB, request, slab);
    if (!refused.empty()) return refused;
    (void)store_->add_slab({slab.offset(), slab.size()});
    allocation = store_->allocate(value.size());
  }
  if (!allocation) return allocation.error().what;
  allocation->write(0, value);
  const auto sealed = store_->seal(std::move(*allocation), object, objstore::Copy::kPrimary);
  return sealed ? "" : sealed.error().what;
}

std::string TestDriver::pull(const base::ObjectId& object, const std::string& holder_node, std::uint64_t size) {
  proto::Pull request;
  request.set_object_id(object.bytes());
  request.set_size(size);
  request.add_holders(holder_node);
  proto::Pulled done;
  return ask(proto::PULL, request, done);
}

bool TestDriver::wait(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  const auto until = os::now() + patience;
  while (!condition()) {
    const auto left = until - os::now();
    if (left <= left.zero()) return false;
    loop_.run_once(std::min<base::Duration>(left, std::chrono::milliseconds(20)));
  }
  return true;
}

}  // namespace mobula::testing

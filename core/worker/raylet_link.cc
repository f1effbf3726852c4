#include "core/worker/raylet_link.h"

#include <utility>

#include "core/os/process.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::Result;

// The descriptors come in the order of control.proto: the store's, then the spin page.
Result<Registration> read_registration(rpc::Message& message) {
  proto::Registered p;
  if (!rpc::Rpc::parse(message.payload, p)) return rpc::Rpc::malformed();
  const auto node = base::NodeId::from_string(p.node_id());
  const auto job = base::JobId::from_string(p.job_id());
  if (!node || !job || message.fds.size() < p.store_descriptors()) {
    return Error{Code::kInvalid, "the raylet's answer to REGISTER lacks ids or descriptors"};
  }
  Registration r;
  r.node = *node;
  r.job = *job;
  r.incarnation = p.incarnation();
  r.node_name = p.node_name();
  r.host_key = p.host_key();
  r.ns = p.ns();
  r.cluster_name = p.cluster_name();
  r.session_directory = p.session_directory();
  for (const auto& [name, value] : p.settings()) r.settings[name] = value;
  r.end_unix_ms = p.end_unix_ms();
  r.store_slot = p.store_slot();
  for (std::size_t i = 0; i < message.fds.size(); ++i) {
    if (i < p.store_descriptors()) {
      r.store_descriptors.push_back(std::move(message.fds[i]));
    } else if (i == p.store_descriptors()) {
      r.spin_page = std::move(message.fds[i]);
    }
  }
  return r;
}

}  // namespace

Result<std::unique_ptr<RayletLink>> RayletLink::open(os::EventLoop& loop, const std::string& raylet_address,
                                                     const transport::Credentials& credentials,
                                                     const proto::Register& registration, base::Time deadline) {
  auto link = std::unique_ptr<RayletLink>(new RayletLink);
  RayletLink* self = link.get();
  transport::ChannelOptions options;
  options.credentials = credentials;
  options.handshake_timeout = std::max<base::Duration>(deadline - os::now(), std::chrono::milliseconds(100));
  auto rpc = rpc::Rpc::connect(loop, raylet_address, options, {.ready = nullptr, .closed = [self](const Error& why) {
                                                                 self->open_ = false;
                                                                 self->closed_why_ = why;
                                                                 if (self->closed_) self->closed_(why);
                                                               }});
  if (!rpc) return rpc.error();
  link->rpc_ = std::move(*rpc);
  std::optional<Result<Registration>> answer;
  link->rpc_->call(proto::REGISTER, registration, options.handshake_timeout, [&answer](Result<rpc::Message> reply) {
    if (reply) {
      answer = read_registration(*reply);
    } else {
      answer = Result<Registration>(reply.error());
    }
  });
  while (!answer) loop.run_once(std::chrono::seconds(1));
  if (!*answer) return answer->error();
  link->registration_ = std::move(**answer);
  return link;
}

base::Settings RayletLink::settings() const {
  base::Settings settings;
  for (const auto& [key, value] : registration_.settings) {
    (void)settings.set(key, value, base::SettingSource::kFile, "");
  }
  (void)settings.take_environment(os::environment());
  return settings;
}

void RayletLink::on_closed(std::function<void(const Error&)> closed) {
  closed_ = std::move(closed);
  if (closed_why_ && closed_) closed_(*closed_why_);
}

}  // namespace mobula::runtime

#include "core/cli/tool_link.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/base/build_info.h"
#include "core/os/random.h"

namespace mobula::cli {
namespace {

using base::Error;
using base::Result;

constexpr auto kPatience = std::chrono::seconds(5);

}  // namespace

base::NodeId node_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    unsigned char byte = 0;
    const auto [end, error] = std::from_chars(&hex[i], &hex[i] + 2, byte, 16);
    if (error != std::errc() || end != &hex[i] + 2) return {};
    bytes += static_cast<char>(byte);
  }
  return base::NodeId::from_string(bytes).value_or(base::NodeId{});
}

template <class Reply>
Result<Reply> ToolLink::ask(proto::MessageType type, const google::protobuf::MessageLite& request) {
  std::optional<Result<Reply>> answer;
  rpc_->ask<Reply>(type, request, kPatience, [&answer](Result<Reply> reply) { answer.emplace(std::move(reply)); });
  while (!answer) loop_.run_once(kPatience);
  return *std::move(answer);
}

Result<std::unique_ptr<ToolLink>> ToolLink::open(const SessionFile& session) {
  const auto secret = os::Secret::read_file(session.key_path());
  if (!secret) return secret.error();
  auto link = std::make_unique<ToolLink>();
  transport::ChannelOptions options;
  const auto id = os::random_id<base::WorkerId>();
  std::copy(secret->view().begin(), secret->view().end(), options.credentials.key.begin());
  options.credentials.self = {id, 0, "tool"};
  auto rpc = rpc::Rpc::connect(link->loop_, session.raylet_address, options, {});
  if (!rpc) return rpc.error();
  link->rpc_ = std::move(*rpc);
  proto::Register request;
  request.set_kind(proto::Register::TOOL);
  request.set_worker_id(id.bytes());
  request.set_wire_version(base::kWireVersion);
  request.set_pid(::getpid());
  const auto registered = link->ask<proto::Registered>(proto::REGISTER, request);
  if (!registered) return registered.error();
  return link;
}

Result<std::string> ToolLink::list(const std::string& what) {
  proto::List request;
  request.set_what(what);
  auto reply = ask<proto::Json>(proto::LIST, request);
  if (!reply) return reply.error();
  return reply->text();
}

Result<std::string> ToolLink::node_status(const base::NodeId& node) {
  proto::NodeQuery query;
  if (!node.is_nil()) query.set_node_id(node.bytes());
  auto reply = ask<proto::Json>(proto::NODE_STATUS, query);
  if (!reply) return reply.error();
  return reply->text();
}

Result<proto::LogPiece> ToolLink::logs(const proto::LogQuery& query) {
  return ask<proto::LogPiece>(proto::LOGS, query);
}

void ToolLink::pause(base::Duration time) {
  const base::Time until = os::now() + time;
  while (is_open() && os::now() < until) loop_.run_once(until - os::now());
}

Result<void> ToolLink::stop_cluster() {
  const auto reply = ask<proto::Empty>(proto::STOP_CLUSTER, proto::Empty());
  if (!reply) return reply.error();
  return {};
}

}  // namespace mobula::cli

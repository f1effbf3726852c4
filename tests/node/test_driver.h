#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/build_info.h"
#include "core/base/proto/control.pb.h"
#include "core/base/resources.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/os/secret.h"
#include "core/rpc/rpc.h"
#include "objstore/store.h"

namespace mobula::testing {

// A driver that speaks to its raylet and remembers what it is told.
class TestDriver {
 public:
  TestDriver() = default;
  ~TestDriver();

  transport::ChannelOptions channel_options(const os::Secret& secret) const;
  // The raylet's answer: empty, or why it refused.
  std::string connect(const std::string& raylet, const os::Secret& secret, std::vector<std::string> extra_env = {});
  void demand(std::uint32_t key, std::uint32_t want, const base::Resources& shape,
              const proto::Strategy& strategy = {});
  void return_lease(const std::string& lease);
  bool finish_job();
  // Through the node's store; the error's text, or empty.
  std::string put(const base::ObjectId& object, base::ConstBytes value);
  std::string pull(const base::ObjectId& object, const std::string& holder_node, std::uint64_t size);
  objstore::StoreClient& store() { return *store_; }
  // A request whose answer is waited for: the error's text, or empty.
  std::string ask(proto::MessageType type, const google::protobuf::MessageLite& request,
                  google::protobuf::MessageLite& reply);

  // Runs the loop until it is true; false when the time is over.
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds patience = std::chrono::seconds(10));

  rpc::Rpc& rpc() { return *rpc_; }
  os::EventLoop& loop() { return loop_; }

  // What connect() says of this process.
  std::uint32_t wire_version = base::kWireVersion;
  std::string build_id = os::self_build_id();

  base::WorkerId id;
  base::JobId job;
  proto::Registered registered;
  std::vector<proto::Grant> grants;
  std::vector<proto::Unschedulable> unschedulable;
  std::vector<proto::WorkerLost> lost;
  std::vector<proto::LogLine> lines;
  std::vector<proto::ActorInfo> actors;
  std::vector<proto::NodeDead> dead_nodes;
  std::vector<std::string> down;  // CLUSTER_DOWN, and the close of the channel.

 private:
  os::EventLoop loop_;
  std::unique_ptr<rpc::Rpc> rpc_;
  std::optional<objstore::StoreClient> store_;
  std::uint64_t sequence_ = 0;
};

}  // namespace mobula::testing

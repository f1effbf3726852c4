#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/settings.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"
#include "core/worker/address.h"

namespace mobula::runtime {

// What the raylet told us when we registered.
struct Registration {
  base::NodeId node;
  std::uint64_t incarnation = 0;
  std::string node_name;
  std::string host_key;
  base::JobId job;
  std::string ns;
  std::string cluster_name;
  std::string session_directory;
  std::map<std::string, std::string> settings;
  std::int64_t end_unix_ms = 0;  // Of the cluster's time; 0: not known.
  std::uint32_t store_slot = 0;
  std::vector<os::Fd> store_descriptors;
  os::Fd spin_page;
};

// This process's channel to its node's raylet: registration, then requests and notifications.
//
// Belongs to the engine: its lock around every call, callbacks under it.
class RayletLink {
 public:
  // Connects and registers; blocks until the raylet has answered or `deadline`.  `loop` is run meanwhile.
  static base::Result<std::unique_ptr<RayletLink>> open(os::EventLoop& loop, const std::string& raylet_address,
                                                        const transport::Credentials& credentials,
                                                        const proto::Register& registration, base::Time deadline);

  Registration& registration() { return registration_; }
  // The node's, unless this process was told otherwise.
  base::Settings settings() const;
  rpc::Rpc& rpc() { return *rpc_; }
  // The raylet has gone; told once.
  void on_closed(std::function<void(const base::Error&)> closed);
  bool is_open() const { return open_; }

 private:
  std::unique_ptr<rpc::Rpc> rpc_;
  Registration registration_;
  std::function<void(const base::Error&)> closed_;
  std::optional<base::Error> closed_why_;
  bool open_ = true;
};

}  // namespace mobula::runtime

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/base/proto/control.pb.h"
#include "core/cluster/role_options.h"
#include "core/os/command.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"

namespace mobula::gcs {

// When the time of the cluster is over: told by its starter, else known of the Slurm job that we are part of, which is
// asked again now and then, since a limit may be moved.  One process of a cluster asks, whatever its size.
class TimeLimit final {
 public:
  TimeLimit(os::EventLoop& loop, const cluster::GcsOptions& options,
            std::function<void(const proto::TimeLimit&)> changed);
  ~TimeLimit();
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

  void node_joined(rpc::Rpc& rpc) const;
  std::int64_t end_unix_ms() const { return end_.end_unix_ms(); }

 private:
  void ask();
  void answered(const os::CommandResult& answer);
  void set(std::int64_t end_unix_ms);

  os::EventLoop& loop_;
  const std::function<void(const proto::TimeLimit&)> changed_;
  const base::Duration refresh_;
  std::string job_id_;
  proto::TimeLimit end_;
  std::unique_ptr<os::Command> question_;
  os::EventLoop::Id timer_ = 0;
  bool complained_ = false;
};

}  // namespace mobula::gcs

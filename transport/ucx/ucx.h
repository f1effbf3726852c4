#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "transport/transport.h"

// The transport over UCX: active messages and one-sided access over RDMA devices, between nodes.
namespace mobula::transport {

struct UcxOptions {
  // As UCX_TLS takes it.  Put in force after UCX has read its environment, so UCX_TLS changes nothing.
  std::string transports = "rc,self";
  std::string net_devices;  // As UCX_NET_DEVICES ("mlx5_0:1"); empty: whatever UCX finds.

  // Over which socket peers prove themselves and exchange what UCX needs.
  enum class Listen { kTcp, kUnix };
  Listen listen = Listen::kTcp;

  // A reliable connection gives up after about this often this long (UCX's defaults come to 46 s).
  std::chrono::milliseconds rc_timeout{100};
  unsigned rc_retries = 3;
};

// The defaults, with MOBULA_UCX_TLS and MOBULA_UCX_NET_DEVICES where they are set.  MOBULA_UCX_TLS is the only way
// in for transports without RDMA ("posix,self", "tcp"); a warning says that it is used.
UcxOptions ucx_options_from_environment();

// Names of the RDMA devices of this machine ("mlx5_0"), from /sys.  Does not start UCX.
std::vector<std::string> rdma_devices();

struct UcxCounters {
  std::uint64_t dropped = 0;     // Active messages without the cookie that we had issued.
  std::uint64_t reordered = 0;   // Messages that had to wait for one sent before.
  std::uint64_t rendezvous = 0;  // Messages that were received by rendezvous.
  std::uint64_t one_sided = 0;   // Reads and writes that the network did alone.
};

class UcxWorker : public Worker {
 public:
  virtual UcxCounters counters() const = 0;
};

// kUnavailable: UCX has no device for these transports.  kInvalid: it does not know one of the options.
// `inbox` must outlive the worker.  Regions may outlive it, and are then a span of bytes.
Result<std::unique_ptr<UcxWorker>> make_ucx_worker(const WorkerOptions& options, Inbox& inbox, const UcxOptions& ucx);

}  // namespace mobula::transport

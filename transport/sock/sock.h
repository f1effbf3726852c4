#pragma once

#include <chrono>
#include <memory>

#include "core/base/machine.h"
#include "transport/transport.h"

namespace mobula::transport::sock {

struct SockOptions {
  // Where the worker listens; it connects to addresses of either kind.
  enum class Listen {
    kTcp,   // On WorkerOptions::interface, at a free port.
    kUnix,  // On a fresh name in WorkerOptions::socket_directory.
  };
  Listen listen = Listen::kTcp;
  base::Duration connect_timeout = std::chrono::seconds(2);  // To be connected and proved.
};

// Endpoints over our own authenticated sockets: between nodes without RDMA, and wherever a name is all one has.
//
// A peer's process end is known at once (its kernel closes the connection); that of its machine is not: the
// owner's heartbeats tell.  Remote keys are 16 bytes.  One-sided reads and writes are served by the target's
// progress().  Destroyed, it tells nobody anything: operations that have not ended never will.
Result<std::unique_ptr<Worker>> make_sock_worker(const WorkerOptions& options, Inbox& inbox,
                                                 const SockOptions& sock = {});

}  // namespace mobula::transport::sock

#pragma once

#include <memory>

#include "transport/transport.h"

namespace mobula::transport {

// The UCX backend without linking UCX: a module (libmobula_ucx.so) that is loaded when it is chosen.  A program that
// links UCX gets its signal handlers and 1.5 ms more to start, whether it uses UCX or not.
//
// Looked for in MOBULA_MODULES, where Mobula was built, and where it was installed.  kUnavailable: it is in none of
// them, or the program was linked without -rdynamic, or UCX has no device for the transports.
enum class UcxListen { kTcp, kUnix };
Result<std::unique_ptr<Worker>> load_ucx_worker(const WorkerOptions& options, Inbox& inbox, UcxListen listen);

// Whether this machine has an RDMA device, from /sys alone.
bool has_rdma_device();

// What the module exports as "mobula_ucx_worker_v1".
using UcxWorkerFactory = void (*)(const WorkerOptions& options, Inbox& inbox, UcxListen listen,
                                  Result<std::unique_ptr<Worker>>& result);

}  // namespace mobula::transport

#pragma once

#include <memory>

#include "transport/transport.h"

namespace mobula::transport {

// Backends over libraries that nobody should pay for who does not use them: each is a module (libmobula_ucx.so,
// libmobula_ofi.so) that is loaded when it is chosen.  A program that links UCX gets its signal handlers and 1.5 ms
// more to start; libfabric takes up to 0.2 s.
//
// Looked for in MOBULA_MODULES, where Mobula was built, and where it was installed.  kUnavailable: it is in none of
// them, or the program was linked without -rdynamic, or the library has no device for what is asked.
enum class ModuleListen { kTcp, kUnix };
Result<std::unique_ptr<Worker>> load_ucx_worker(const WorkerOptions& options, Inbox& inbox, ModuleListen listen);
Result<std::unique_ptr<Worker>> load_ofi_worker(const WorkerOptions& options, Inbox& inbox, ModuleListen listen);

// Whether this machine has an RDMA device, from /sys alone.
bool has_rdma_device();

// What the modules export as "mobula_ucx_worker_v1" and "mobula_ofi_worker_v1".
using WorkerFactory = void (*)(const WorkerOptions& options, Inbox& inbox, ModuleListen listen,
                               Result<std::unique_ptr<Worker>>& result);

}  // namespace mobula::transport

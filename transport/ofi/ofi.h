#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/result.h"
#include "transport/transport.h"

// The transport over libfabric (OFI): active messages and one-sided access over whatever provider a machine has, EFA
// and Slingshot among them.  libfabric itself is loaded when the first worker is made.
namespace mobula::transport {

struct OfiOptions {
  // As libfabric names it ("tcp;ofi_rxm", "verbs;ofi_rxm", "efa", "cxi", "shm").  Empty: the first that this machine
  // has of cxi, efa, verbs;ofi_rxm, tcp;ofi_rxm.  Both ends of a connection must use the same.
  std::string provider;
  std::string domain;  // libfabric's name of the device ("rxe0"); empty: the first.
  // A provider with IP addresses listens here; empty: WorkerOptions::interface.
  std::string source;

  // A one-sided access of which nothing moves for so long fails with kDeadline.  Some providers answer a wrong key with
  // silence.
  std::chrono::milliseconds access_stall_max{10'000};

  // Over which socket peers prove themselves and exchange what libfabric needs.
  enum class Listen { kTcp, kUnix };
  Listen listen = Listen::kTcp;
};

// The defaults, with MOBULA_OFI_PROVIDER and MOBULA_OFI_DOMAIN where they are set.
OfiOptions ofi_options_from_environment();

struct OfiCounters {
  std::uint64_t dropped = 0;     // Packets without the cookie that we had issued.
  std::uint64_t reordered = 0;   // Messages that had to wait for one sent before.
  std::uint64_t rendezvous = 0;  // Messages that were read from their sender's memory.
  std::uint64_t one_sided = 0;   // Reads and writes that were asked of the provider.
  std::uint64_t renewals = 0;    // Times that the endpoint for one-sided access was made anew: see accesses.h.
};

class OfiWorker : public Worker {
 public:
  virtual OfiCounters counters() const = 0;
  virtual const std::string& provider() const = 0;
  // Whether a sleeper is woken by the provider; otherwise event_fd() rings every so often while it sleeps.
  virtual bool wakes_sleepers() const = 0;
};

// kUnavailable: there is no libfabric, or it has no such provider or device.  `inbox` must outlive the worker.  Regions
// may outlive it, and are then a span of bytes.
Result<std::unique_ptr<OfiWorker>> make_ofi_worker(const WorkerOptions& options, Inbox& inbox, const OfiOptions& ofi);

}  // namespace mobula::transport

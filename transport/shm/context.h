#pragma once

#include <cstdint>
#include <vector>

#include "core/os/event_loop.h"
#include "transport/channel.h"
#include "transport/shm/doorbell.h"
#include "transport/shm/landing_pool.h"
#include "transport/shm/region_table.h"
#include "transport/shm/shm.h"
#include "transport/stream/completions.h"
#include "transport/transport.h"

namespace mobula::transport::shm {

class ShmEndpoint;

// What the endpoints of a worker share.  Outlives them.
struct Context {
  static constexpr std::uint32_t kNoCpu = ~0u;

  const WorkerOptions& options;
  const ChannelOptions& channel_options;
  const ShmTuning tuning;
  Inbox& inbox;
  os::EventLoop& loop;
  const Doorbell& bell;
  RegionTable& regions;
  const std::uint64_t cookie;       // Of this worker, in its address; peers name it.
  const std::uint64_t probe_value;  // Peers try to read it through the kernel.

  stream::Completions done;
  LandingPool landings;
  std::vector<ShmEndpoint*> open;       // Their rings are polled.  Null where one has gone, until the sweep.
  std::vector<ShmEndpoint*> busy;       // Have something to do besides that.  Each at most once.
  std::vector<ShmEndpoint*> retired;    // To be destroyed when no callback runs.
  std::uint32_t receiver_cpu = kNoCpu;  // Of the last message since somebody asked.
  std::size_t expecting = 0;            // Answers awaited over channels: the loop is looked at more often.
  std::size_t slice_budget = 0;         // Bytes that may still be copied in this progress().
};

}  // namespace mobula::transport::shm

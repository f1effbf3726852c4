#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/os/event_loop.h"
#include "transport/buffer_cache.h"
#include "transport/ofi/accesses.h"
#include "transport/ofi/ofi.h"
#include "transport/ofi/packets.h"
#include "transport/ofi/port.h"
#include "transport/ofi/region.h"
#include "transport/stream/completions.h"
#include "transport/transport.h"

namespace mobula::transport::ofi {

class OfiEndpoint;

// What the endpoints of one worker share.  The order is that of destruction, backwards: ports let go of memory before
// it is freed.
struct Core {
  Core(const WorkerOptions& worker_options, Inbox& worker_inbox, const Accesses::Options& access)
      : options(worker_options),
        inbox(worker_inbox),
        provider(access.provider),
        accesses(access, loop, completions, counters),
        regions(provider) {}

  const WorkerOptions options;
  Inbox& inbox;
  const std::shared_ptr<Provider> provider;
  os::EventLoop loop;

  BufferCache buffers;
  stream::Completions completions;
  OfiCounters counters;
  std::unique_ptr<PacketPool> packets;
  std::unique_ptr<Port> port;  // For messages.
  Accesses accesses;
  RegionTable regions;

  std::vector<OfiEndpoint*> busy;   // Have something to do in progress().
  std::vector<OfiEndpoint*> later;  // The provider had no room for what they send.
  std::size_t inbox_calls = 0;      // Ever.
  // The inbox may be called: we are inside progress(), and not inside a call of the inbox.
  bool may_deliver = false;
};

// While the inbox is called, nothing else may be delivered: what arrives waits for its turn.
class InboxCall {
 public:
  explicit InboxCall(Core& core) : core_(core), before_(core.may_deliver) {
    core_.may_deliver = false;
    ++core_.inbox_calls;
  }
  ~InboxCall() { core_.may_deliver = before_; }
  InboxCall(const InboxCall&) = delete;
  InboxCall& operator=(const InboxCall&) = delete;

 private:
  Core& core_;
  bool before_;
};

}  // namespace mobula::transport::ofi

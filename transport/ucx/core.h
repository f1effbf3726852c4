#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ucp/api/ucp.h>

#include "transport/buffer_cache.h"
#include "transport/stream/completions.h"
#include "transport/transport.h"
#include "transport/ucx/context.h"
#include "transport/ucx/link_table.h"
#include "transport/ucx/op.h"
#include "transport/ucx/region.h"
#include "transport/ucx/ucx.h"

namespace mobula::transport::ucx {

inline constexpr unsigned kActiveMessageId = 1;

// What the endpoints of one worker share.
struct Core {
  Core(const WorkerOptions& worker_options, Inbox& worker_inbox, std::shared_ptr<Context> worker_context)
      : options(worker_options), inbox(worker_inbox), context(std::move(worker_context)), regions(context) {}

  const WorkerOptions options;
  Inbox& inbox;
  const std::shared_ptr<Context> context;
  ucp_worker_h ucp = nullptr;
  std::uint64_t instance = 0;  // Random; names this worker to its peers.
  std::string ucx_address;

  LinkTable links;
  OpPool ops;
  BufferCache buffers;
  RegionTable regions;
  stream::Completions completions;
  UcxCounters counters;

  std::vector<UcxEndpoint*> busy;  // Have something to do in progress().
  std::size_t inbox_calls = 0;     // Ever.
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

}  // namespace mobula::transport::ucx

#include "core/raylet/store_service.h"

#include <algorithm>
#include <utility>

namespace mobula::raylet {
namespace {

using base::Code;
using base::Result;
using objstore::SlabGrant;

// How long a process waits for pages or for others to give back what they hold, before it is told that the store is
// full.
constexpr auto kLeasePatience = std::chrono::milliseconds(500);
constexpr auto kReserveEvery = std::chrono::milliseconds(1);  // While there is more to reserve.
constexpr auto kAskEvery = std::chrono::milliseconds(20);     // For room, while somebody waits for it.
constexpr auto kSweepEvery = std::chrono::milliseconds(100);
// The first reservation leaves the start of a whole cluster its time; who asks before is served at once.
constexpr auto kStart = std::chrono::milliseconds(500);

}  // namespace

Result<std::unique_ptr<StoreService>> StoreService::create(os::EventLoop& loop, const objstore::StoreOptions& options) {
  auto store = objstore::Store::create(options);
  if (!store) return store.error();
  return std::unique_ptr<StoreService>(new StoreService(loop, std::move(*store)));
}

StoreService::StoreService(os::EventLoop& loop, objstore::Store store) : loop_(loop), store_(std::move(store)) {
  arm(kStart);
}

StoreService::~StoreService() { loop_.cancel(timer_); }

void StoreService::arm(base::Duration delay) {
  loop_.cancel(timer_);
  timer_ = loop_.after(delay, [this] { work(); });
}

void StoreService::work() {
  store_.sweep();
  const bool more = store_.reserve_more();
  auto waiting = std::exchange(waiting_, {});
  for (auto& request : waiting) {
    auto granted = try_lease(request.slot, request.bytes);
    const bool again = !granted && granted.error().code != Code::kInvalid && os::now() < request.until;
    if (again) {
      waiting_.push_back(std::move(request));
    } else {
      request.done(std::move(granted));
    }
  }
  arm(more || !waiting_.empty() ? base::Duration(kReserveEvery) : base::Duration(kSweepEvery));
}

void StoreService::reclaim(objstore::SlotId slot) {
  std::erase_if(waiting_, [slot](const Waiting& request) { return request.slot == slot; });
  store_.reclaim(slot);
}

// Secondary copies go first.  They, and whatever was freed, lie in slabs of other processes, which keep these for their
// own next objects until they are asked.
Result<SlabGrant> StoreService::try_lease(objstore::SlotId slot, std::uint64_t bytes) {
  auto granted = store_.lease_slab(slot, bytes);
  if (granted || granted.error().code != Code::kExhausted) return granted;
  store_.sweep();
  const base::Time now = os::now();
  if (now - asked_at_ >= kAskEvery) {  // In between, what has been evicted comes back.
    asked_at_ = now;
    if (store_.evict_secondary(bytes) != 0) store_.sweep();
    if (ask_for_slabs_) ask_for_slabs_();
  }
  return store_.lease_slab(slot, bytes);
}

void StoreService::lease(objstore::SlotId slot, std::uint64_t bytes, std::function<void(Result<SlabGrant>)> done) {
  auto granted = try_lease(slot, bytes);
  if (granted || granted.error().code == Code::kInvalid) return done(std::move(granted));
  waiting_.push_back({slot, bytes, os::now() + kLeasePatience, std::move(done)});
  arm(kReserveEvery);
}

void StoreService::serve(rpc::Rpc& rpc, objstore::SlotId slot) {
  rpc.on<proto::LeaseSlab>(proto::LEASE_SLAB, [this, slot](proto::LeaseSlab&& request, rpc::Responder responder) {
    lease(slot, request.bytes(), [responder](Result<SlabGrant> granted) {
      if (!granted) return responder.fail(granted.error());
      proto::SlabGrant reply;
      reply.set_offset(granted->offset);
      reply.set_size(granted->size);
      responder.reply(reply);
    });
  });
  rpc.on<proto::SlabGrant>(proto::RETURN_SLAB, [this, slot](proto::SlabGrant&& slab, rpc::Responder responder) {
    const auto returned = store_.return_slab(slot, {slab.offset(), slab.size()});
    if (!returned) return responder.fail(returned.error());
    responder.reply(proto::Empty());
  });
}

}  // namespace mobula::raylet

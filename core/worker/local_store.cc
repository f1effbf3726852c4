#include "core/worker/local_store.h"

#include <utility>

#include "core/os/event_loop.h"

namespace mobula::runtime {
namespace {

// Somebody has no room: what nothing of ours lies in goes back.
void give_back_empty_slabs(objstore::StoreClient& client, rpc::Rpc& raylet) {
  for (const objstore::SlabGrant& slab : client.take_empty_slabs(0)) {
    proto::SlabGrant message;
    message.set_offset(slab.offset);
    message.set_size(slab.size);
    (void)raylet.notify(proto::RETURN_SLAB, message);
  }
}

}  // namespace

using base::Code;
using base::Error;
using base::Result;

Result<objstore::Allocation> LocalStore::allocate(Engine::Lock& lock, std::size_t bytes) {
  const base::Time give_up = os::now() + full_timeout_;
  for (;;) {
    auto allocation = client_.allocate(bytes);
    if (allocation || allocation.error().code != Code::kExhausted) return allocation;
    const auto leased = lease_slab(lock, client_.slab_bytes_needed());
    if (leased) continue;
    // Larger than the whole store: no room either, and none that waiting would make.
    if (leased.error().code == Code::kInvalid) return Error{Code::kExhausted, leased.error().what};
    if (leased.error().code != Code::kExhausted && leased.error().code != Code::kUnavailable) return leased.error();
    if (os::now() >= give_up) return Error{Code::kExhausted, leased.error().what};
    // Back-pressure: others may free something.  Nobody tells us, so look again soon.
    engine_.wait(
        lock, [] { return false; }, os::now() + std::chrono::milliseconds(10));
  }
}

Result<void> LocalStore::lease_slab(Engine::Lock& lock, std::uint64_t bytes) {
  // Asked of those that lease: the others have none.
  raylet_.rpc().on<proto::SlabGrant>(proto::RETURN_SLAB, [this](proto::SlabGrant&&, const rpc::Responder&) {
    give_back_empty_slabs(client_, raylet_.rpc());
  });
  proto::LeaseSlab request;
  request.set_bytes(bytes);
  // The reply outlives this call when the wait is cut short by the deadline, so it is shared.
  auto answer = std::make_shared<std::optional<Result<proto::SlabGrant>>>();
  raylet_.rpc().ask<proto::SlabGrant>(proto::LEASE_SLAB, request, full_timeout_,
                                      [this, answer](Result<proto::SlabGrant> reply) {
                                        *answer = std::move(reply);
                                        engine_.notify();
                                      });
  engine_.wait(
      lock, [&answer] { return answer->has_value(); }, std::nullopt);
  const Result<proto::SlabGrant>& grant = **answer;
  if (!grant) return grant.error();
  return client_.add_slab({grant->offset(), grant->size()});
}

std::optional<View> LocalStore::get(const base::ObjectId& id) {
  auto pin = client_.get(id);
  if (!pin) return std::nullopt;
  auto held = std::make_shared<objstore::Pin>(std::move(*pin));
  const base::ConstBytes bytes = held->bytes();
  return View{bytes, std::move(held)};
}

}  // namespace mobula::runtime

#include "core/worker/references.h"

namespace mobula::runtime {

ObjectRef References::adopt(const ObjectId& id, const ProcessAddress& owner, Borrow when) {
  ObjectRef ref = find(id);
  if (ref) {
    if (when == Borrow::kNow && local(ref).borrowed()) borrows_.borrow(local(ref));
    return ref;
  }
  ref = ObjectRef(make(id));
  LocalObject& object = local(ref);
  list(object);
  if (owner.worker == links_.self().worker) {
    // Ours by name, and gone: the sender kept it without telling us.
    object.settle_error(values_.lost(object, "the object was freed before this reference came back to its owner", {}));
    return ref;
  }
  object.more().owner = &links_.peer(owner);
  if (when == Borrow::kNow) borrows_.borrow(object);
  return ref;
}

void References::drop(LocalObject* object) noexcept {
  if (!object->entangled()) {
    delete object;
    return;
  }
  if (object->drop_queued.exchange(true, std::memory_order_acq_rel)) return;
  // A stack that process_drops() takes whole: release publishes the link.
  LocalObject* head = dropped_.load(std::memory_order_relaxed);
  do {
    object->next_dropped = head;
  } while (!dropped_.compare_exchange_weak(head, object, std::memory_order_release, std::memory_order_relaxed));
  engine_.nudge();
}

void References::process_drops() {
  if (dropped_.load(std::memory_order_relaxed) == nullptr) return;
  LocalObject* object = dropped_.exchange(nullptr, std::memory_order_acquire);
  while (object != nullptr) {
    LocalObject* next = object->next_dropped;
    // Cleared before the count is read: a drop after that queues it again.
    object->drop_queued.store(false, std::memory_order_release);
    if (!object->has_references()) finish_drop(*object);
    object = next;
  }
  borrows_.flush_releases();
}

void References::finish_drop(LocalObject& object) {
  table_.remove(object);
  if (object.borrowed()) {
    borrows_.release(object);
  } else {
    free_copies(object);
  }
  const auto on_gone = object.more_if_any() != nullptr ? std::move(object.more().on_gone) : nullptr;
  const std::optional<ObjectId> made = object.made ? std::optional(object.id()) : std::nullopt;
  delete &object;  // Contained references are dropped in turn.
  if (made) made_dropped_(*made);
  if (on_gone) on_gone();
}

void References::free_copies(LocalObject& object) {
  LocalObject::More* more = object.more_if_any();
  if (object.in_store) store_.free(object.id());
  if (more == nullptr) return;
  proto::FreeObjects request;
  for (const base::NodeId& node : more->holders) {
    if (node != links_.self().node || !object.in_store) request.add_nodes(node.bytes());
  }
  if (request.nodes_size() == 0 || !raylet_.is_open()) return;
  request.add_object_ids(object.id().bytes());
  (void)raylet_.rpc().notify(proto::FREE_OBJECTS, request);
}

void References::on_peer_lost(Peer& peer, std::span<const ObjectRef> covered) {
  std::vector<ObjectRef> orphans;
  table_.each([&](LocalObject& object) {
    LocalObject::More* more = object.more_if_any();
    if (more == nullptr) return;
    // Where a copy lies somewhere, fetch() finds out.
    if (more->owner == &peer && !object.has_value()) orphans.push_back(ObjectRef(&object));
    std::erase(more->asking, &peer);
  });
  for (const ObjectRef& ref : orphans) values_.fail_orphan(local(ref), peer);
  borrows_.on_peer_lost(peer, covered);
}

void References::on_node_dead(const base::NodeId& node, const std::string& why) {
  values_.note_dead(node, why);
  std::vector<ObjectRef> lost;
  table_.each([&](LocalObject& object) {
    if (values_.strike(object, node) && object.is_wanted()) lost.push_back(ObjectRef(&object));
  });
  for (const ObjectRef& ref : lost) values_.fetch(local(ref));
}

void References::fail_all(const ErrorInfo& error) {
  std::vector<ObjectRef> open;
  table_.each([&](LocalObject& object) {
    if (!object.settled() || object.status() == ObjectStatus::kRemote) open.push_back(ObjectRef(&object));
  });
  for (const ObjectRef& ref : open) {
    if (ref->status() == ObjectStatus::kReady || ref->status() == ObjectStatus::kError) continue;
    values_.fail(local(ref), error);
  }
}

}  // namespace mobula::runtime

#include "core/worker/references.h"

#include <algorithm>
#include <utility>

#include "core/os/host.h"

namespace mobula::runtime {
namespace {

constexpr auto kPullTimeout = std::chrono::seconds(60);

}  // namespace

void References::list(LocalObject& object) {
  object.entangle();
  if (object.listed) return;
  object.listed = true;
  table_.emplace(object.id(), &object);
}

ObjectRef References::find(const ObjectId& id) {
  const auto it = table_.find(id);
  return it == table_.end() ? ObjectRef() : ObjectRef(it->second);
}

ObjectRef References::adopt(const ObjectId& id, const ProcessAddress& owner, Borrow when) {
  ObjectRef ref = find(id);
  if (ref) {
    if (when == Borrow::kNow && local(ref).borrowed()) borrow(local(ref));
    return ref;
  }
  ref = ObjectRef(make(id));
  LocalObject& object = local(ref);
  list(object);
  if (owner.worker == links_.self().worker) {
    // Ours by name, and gone: the sender kept it without telling us.
    object.settle_error(lost(object, "the object was freed before this reference came back to its owner", {}));
    return ref;
  }
  object.more().owner = &links_.peer(owner);
  if (when == Borrow::kNow) borrow(object);
  return ref;
}

void References::borrow(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.borrow_sent) return;
  more.borrow_sent = true;
  if (more.owner->lost) return;
  metrics_.borrows.add();
  borrows_open_[object.id()] = more.owner;
  ObjectHeader header;
  header.object = object.id();
  links_.send(*more.owner, Hot::kBorrow, base::object_bytes(header), {});
}

void References::after_borrows(std::function<void()> then) {
  if (borrows_open_.empty()) return then();
  after_borrows_.push_back(std::move(then));
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
}

void References::finish_drop(LocalObject& object) {
  if (object.listed) table_.erase(object.id());
  if (object.borrowed()) {
    LocalObject::More& more = object.more();
    if (more.borrow_sent && !more.owner->lost) releases_.emplace_back(more.owner, object.id());
  } else {
    free_copies(object);
  }
  const auto on_gone = object.more_if_any() != nullptr ? std::move(object.more().on_gone) : nullptr;
  delete &object;  // Contained references are dropped in turn.
  flush_releases();
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

void References::flush_releases() {
  if (!borrows_open_.empty() || releases_.empty()) return;
  const auto releases = std::exchange(releases_, {});
  for (const auto& [owner, id] : releases) {
    if (table_.contains(id)) continue;  // Borrowed again meanwhile.
    ObjectHeader header;
    header.object = id;
    links_.send(*owner, Hot::kRelease, base::object_bytes(header), {});
  }
}

void References::borrow_ended(Peer& owner, const ObjectId& id, bool known) {
  const auto open = borrows_open_.find(id);
  if (open == borrows_open_.end() || open->second != &owner) return;
  borrows_open_.erase(open);
  if (!known) {
    if (ObjectRef ref = find(id); ref && !ref->settled()) {
      local(ref).settle_error(lost(local(ref), "the owner had freed the object before it heard of this reference", {}));
      settled(local(ref));
    }
  }
  if (!borrows_open_.empty()) return;
  flush_releases();
  for (auto& then : std::exchange(after_borrows_, {})) then();
}

// ---- values ---------------------------------------------------------------------------------------

void References::settled(LocalObject& object) {
  for (Waiter* w = object.take_waiters(); w != nullptr;) {
    Waiter* next = w->next;
    w->next = nullptr;
    w->object_ready(object);
    w = next;
  }
  if (LocalObject::More* more = object.more_if_any(); more != nullptr && !more->asking.empty()) {
    for (Peer* peer : std::exchange(more->asking, {})) answer(*peer, object);
  }
  engine_.notify();
}

void References::set_holders(LocalObject& object, std::vector<base::NodeId> holders) {
  object.more().holders = std::move(holders);
  object.entangle();
}

void References::describe(LocalObject& object, base::Buffer& out) {
  Returned head;
  head.size = object.size();
  const bool here = object.status() == ObjectStatus::kReady;
  if (here && object.size() <= kInlineBytesMax) {
    out.put(head);
    out.append(object.view().bytes);
    return;
  }
  std::vector<base::NodeId> holders;
  if (LocalObject::More* more = object.more_if_any()) holders = more->holders;
  if (here && std::ranges::count(holders, links_.self().node) == 0) holders.push_back(links_.self().node);
  head.place = Place::kStore;
  head.holders = static_cast<std::uint8_t>(std::min<std::size_t>(holders.size(), 16));
  out.put(head);
  for (std::size_t i = 0; i < head.holders; ++i) out.put(holders[i]);
}

bool References::read_described(base::Cursor& in, Returned& head, ConstBytes& bytes,
                                std::vector<base::NodeId>& holders) {
  head = in.get<Returned>();
  if (head.place == Place::kInline) {
    bytes = in.take(head.size);
    return in.ok() && is_well_framed(bytes);
  }
  if (head.place != Place::kStore) return false;
  for (std::uint8_t i = 0; i < head.holders; ++i) holders.push_back(in.get<base::NodeId>());
  return in.ok();
}

void References::settle_described(LocalObject& object, const Returned& head, ConstBytes bytes,
                                  std::vector<base::NodeId> holders) {
  if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) return;
  if (head.place == Place::kInline) {
    object.settle_inline(bytes);
  } else {
    set_holders(object, std::move(holders));
    object.settle_remote(head.size);
  }
  settled(object);
  // Somebody may want the bytes, not only the news.
  if (object.status() == ObjectStatus::kRemote && object.has_waiters()) fetch(object);
}

void References::ask_owner(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.asked || more.owner == nullptr || object.settled()) return;
  more.asked = true;
  if (more.owner->lost) return on_peer_lost(*more.owner);
  metrics_.values_asked.add();
  ObjectHeader header;
  header.object = object.id();
  links_.send(*more.owner, Hot::kObjectGet, base::object_bytes(header), {});
}

void References::fetch(LocalObject& object) {
  if (object.status() == ObjectStatus::kPending && object.borrowed()) return ask_owner(object);
  if (object.status() != ObjectStatus::kRemote) return;
  LocalObject::More& more = object.more();
  if (more.pulling) return;
  if (auto view = store_.get(object.id())) {
    object.settle_view(std::move(*view));
    settled(object);
    return;
  }
  more.pulling = true;
  metrics_.pulls.add();
  proto::Pull request;
  request.set_object_id(object.id().bytes());
  request.set_size(object.size());
  for (const base::NodeId& node : more.holders) request.add_holders(node.bytes());
  raylet_.rpc().ask<proto::Pulled>(
      proto::PULL, request, kPullTimeout,
      [this, ref = ObjectRef(&object)](base::Result<proto::Pulled> result) { pull_ended(ref, result); });
}

void References::pull_ended(const ObjectRef& ref, const base::Result<proto::Pulled>& result) {
  LocalObject& object = local(ref);
  LocalObject::More& more = object.more();
  more.pulling = false;
  if (object.status() != ObjectStatus::kRemote) return;
  std::optional<View> view = store_.get(object.id());
  if (!view) {
    const bool full = !result.ok() && result.error().code == base::Code::kExhausted;
    ErrorInfo error = lost(object, "the object could not be brought to this node",
                           {result.ok() ? "it was evicted again before it could be read" : result.error().what});
    if (full) error.kind = base::ErrorKind::kObjectStoreFull;
    object.settle_error(std::move(error));
    settled(object);
    return;
  }
  object.settle_view(std::move(*view));
  const base::NodeId here = links_.self().node;
  if (std::ranges::count(more.holders, here) == 0) {
    more.holders.push_back(here);
    if (more.owner != nullptr) {
      ObjectHeader header;
      header.object = object.id();
      links_.send(*more.owner, Hot::kLocation, base::object_bytes(header), base::object_bytes(here));
    }
  }
  settled(object);
}

// ---- messages ---------------------------------------------------------------------------------------

void References::answer(Peer& to, LocalObject& object) {
  ObjectHeader header;
  header.object = object.id();
  base::Buffer payload;
  if (object.status() == ObjectStatus::kError) {
    header.status = CallStatus::kError;
    encode(object.error(), payload);
  } else {
    describe(object, payload);
  }
  links_.send(to, Hot::kObjectValue, base::object_bytes(header), payload.view());
}

void References::on_object_get(Peer& from, const ObjectHeader& header) {
  ObjectRef ref = find(header.object);
  if (!ref) {
    ObjectHeader reply;
    reply.object = header.object;
    reply.status = CallStatus::kError;
    ErrorInfo error;
    error.kind = base::ErrorKind::kObjectLost;
    error.what = "object " + header.object.short_hex() + " was freed: its owner holds no reference to it any more";
    error.remedy = "keep a Ref to the object, or to the value that holds it, until its readers have it";
    base::Buffer payload;
    encode(error, payload);
    links_.send(from, Hot::kObjectValue, base::object_bytes(reply), payload.view());
    return;
  }
  if (ref->settled()) return answer(from, local(ref));
  local(ref).more().asking.push_back(&from);
}

void References::on_object_value(Peer&, const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = find(header.object);
  if (!ref || ref->settled()) return;
  LocalObject& object = local(ref);
  if (header.status == CallStatus::kError) {
    auto error = base::decode_error_info(payload);
    object.settle_error(error ? std::move(*error) : lost(object, "the owner sent an error that cannot be read", {}));
    settled(object);
    return;
  }
  base::Cursor in(payload);
  Returned head;
  ConstBytes bytes;
  std::vector<base::NodeId> holders;
  if (!read_described(in, head, bytes, holders)) {
    object.settle_error(lost(object, "the owner sent a value that cannot be read", {}));
    settled(object);
    return;
  }
  settle_described(object, head, bytes, std::move(holders));
}

void References::on_borrow(Peer& from, const ObjectHeader& header) {
  ObjectHeader reply;
  reply.object = header.object;
  ObjectRef ref = find(header.object);
  if (ref) {
    local(ref).more().borrowers[from.address.worker] = &from;
    lent_.emplace(header.object, ref);
  } else {
    reply.status = CallStatus::kError;
  }
  links_.send(from, Hot::kBorrowed, base::object_bytes(reply), {});
}

void References::on_borrowed(Peer& from, const ObjectHeader& header) {
  borrow_ended(from, header.object, header.status == CallStatus::kOk);
}

void References::on_release(Peer& from, const ObjectHeader& header) {
  const auto lent = lent_.find(header.object);
  if (lent == lent_.end()) return;
  auto& borrowers = local(lent->second).more().borrowers;
  borrowers.erase(from.address.worker);
  if (borrowers.empty()) lent_.erase(lent);
}

void References::on_location(Peer&, const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = find(header.object);
  base::Cursor in(payload);
  const auto node = in.get<base::NodeId>();
  if (!in.ok()) return;
  if (!ref) {
    // Freed while the copy was made: free the copy too.
    proto::FreeObjects request;
    request.add_object_ids(header.object.bytes());
    request.add_nodes(node.bytes());
    if (raylet_.is_open()) (void)raylet_.rpc().notify(proto::FREE_OBJECTS, request);
    return;
  }
  auto& holders = local(ref).more().holders;
  if (std::ranges::count(holders, node) == 0) holders.push_back(node);
}

// ---- deaths -----------------------------------------------------------------------------------------

ErrorInfo References::lost(const LocalObject& object, std::string what, std::vector<std::string> evidence) const {
  ErrorInfo error;
  error.kind = base::ErrorKind::kObjectLost;
  error.what = std::move(what);
  error.evidence = std::move(evidence);
  error.evidence.push_back("object " + object.id().hex());
  error.node = os::host_name() + " " + links_.self().node.short_hex();
  return error;
}

void References::on_peer_lost(Peer& peer) {
  std::vector<ObjectRef> orphans;
  std::vector<ObjectId> returned;
  for (const auto& [id, object] : table_) {
    LocalObject::More* more = object->more_if_any();
    if (more == nullptr) continue;
    if (more->owner == &peer && (!object->settled() || object->status() == ObjectStatus::kRemote)) {
      orphans.push_back(ObjectRef(object));
    }
    std::erase(more->asking, &peer);
    if (more->borrowers.erase(peer.address.worker) != 0 && more->borrowers.empty()) returned.push_back(id);
  }
  for (const ObjectId& id : returned) lent_.erase(id);
  for (const ObjectRef& ref : orphans) {
    if (ref->status() == ObjectStatus::kRemote) continue;  // A copy lies somewhere: fetch() finds out.
    ErrorInfo error = lost(local(ref), "the process that owned this object has died", {peer.why_lost.what});
    error.kind = base::ErrorKind::kOwnerDied;
    error.pid = peer.address.pid;
    error.remedy = "let a process that outlives the readers make the object or submit its task";
    local(ref).settle_error(std::move(error));
    settled(local(ref));
  }
  std::vector<ObjectId> ended;
  for (const auto& [id, owner] : borrows_open_) {
    if (owner == &peer) ended.push_back(id);
  }
  for (const ObjectId& id : ended) borrow_ended(peer, id, true);
}

void References::on_node_dead(const base::NodeId& node, const std::string& why) {
  std::vector<ObjectRef> gone;
  for (const auto& [id, object] : table_) {
    LocalObject::More* more = object->more_if_any();
    if (more == nullptr || std::erase(more->holders, node) == 0 || !more->holders.empty()) continue;
    if (object->status() == ObjectStatus::kRemote) gone.push_back(ObjectRef(object));
  }
  for (const ObjectRef& ref : gone) {
    local(ref).settle_error(lost(local(ref), "the only copy of this object was on a node that has died",
                                 {"node " + node.short_hex() + ": " + why}));
    settled(local(ref));
  }
}

void References::fail_all(const ErrorInfo& error) {
  std::vector<ObjectRef> open;
  for (const auto& [id, object] : table_) {
    if (!object->settled() || object->status() == ObjectStatus::kRemote) open.push_back(ObjectRef(object));
  }
  for (const ObjectRef& ref : open) {
    if (ref->status() == ObjectStatus::kReady || ref->status() == ObjectStatus::kError) continue;
    local(ref).settle_error(error);
    settled(local(ref));
  }
}

}  // namespace mobula::runtime

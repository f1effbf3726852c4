#include "core/worker/object_values.h"

#include <algorithm>
#include <utility>

#include "core/os/host.h"

namespace mobula::runtime {
namespace {

constexpr auto kPullTimeout = std::chrono::seconds(60);

}  // namespace

void ObjectValues::fetch(LocalObject& object) {
  if (object.status() == ObjectStatus::kPending && object.borrowed()) return ask_owner(object);
  if (object.status() != ObjectStatus::kRemote) return;
  LocalObject::More& more = object.more();
  if (more.pulling) return;
  if (auto view = p_.store.get(object.id())) {
    object.settle_view(std::move(*view));
    settled(object);
    return;
  }
  more.pulling = true;
  p_.metrics.pulls.add();
  proto::Pull request;
  request.set_object_id(object.id().bytes());
  request.set_size(object.size());
  for (const base::NodeId& node : more.holders) request.add_holders(node.bytes());
  p_.raylet.rpc().ask<proto::Pulled>(
      proto::PULL, request, kPullTimeout,
      [this, ref = ObjectRef(&object)](base::Result<proto::Pulled> result) { pull_ended(ref, result); });
}

void ObjectValues::pull_ended(const ObjectRef& ref, const base::Result<proto::Pulled>& result) {
  LocalObject& object = local(ref);
  LocalObject::More& more = object.more();
  more.pulling = false;
  if (object.status() != ObjectStatus::kRemote) return;
  std::optional<View> view = p_.store.get(object.id());
  if (!view) {
    const bool full = !result.ok() && result.error().code == base::Code::kExhausted;
    ErrorInfo error = lost(object, "the object could not be brought to this node",
                           {result.ok() ? "it was evicted again before it could be read" : result.error().what});
    if (full) error.kind = base::ErrorKind::kObjectStoreFull;
    return fail(object, std::move(error));
  }
  object.settle_view(std::move(*view));
  const base::NodeId here = p_.links.self().node;
  if (std::ranges::count(more.holders, here) == 0) {
    more.holders.push_back(here);
    if (more.owner != nullptr) {
      ObjectHeader header;
      header.object = object.id();
      p_.links.send(*more.owner, Hot::kLocation, base::object_bytes(header), base::object_bytes(here));
    }
  }
  settled(object);
}

void ObjectValues::ask_owner(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.asked || more.owner == nullptr || object.settled()) return;
  more.asked = true;
  if (more.owner->lost) return fail_orphan(object, *more.owner);
  p_.metrics.values_asked.add();
  ObjectHeader header;
  header.object = object.id();
  p_.links.send(*more.owner, Hot::kObjectGet, base::object_bytes(header), {});
}

void ObjectValues::settled(LocalObject& object) {
  for (Waiter* w = object.take_waiters(); w != nullptr;) {
    Waiter* next = w->next;
    w->next = nullptr;
    w->object_ready(object);
    w = next;
  }
  if (LocalObject::More* more = object.more_if_any(); more != nullptr && !more->asking.empty()) {
    for (Peer* peer : std::exchange(more->asking, {})) answer(*peer, object);
  }
  p_.engine.notify();
}

void ObjectValues::set_holders(LocalObject& object, std::vector<base::NodeId> holders) {
  object.more().holders = std::move(holders);
  object.entangle();
}

void ObjectValues::describe(LocalObject& object, base::Buffer& out) {
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
  if (here && std::ranges::count(holders, p_.links.self().node) == 0) holders.push_back(p_.links.self().node);
  head.place = Place::kStore;
  head.holders = static_cast<std::uint8_t>(std::min<std::size_t>(holders.size(), 16));
  out.put(head);
  for (std::size_t i = 0; i < head.holders; ++i) out.put(holders[i]);
}

bool ObjectValues::read_described(base::Cursor& in, Returned& head, ConstBytes& bytes,
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

void ObjectValues::settle_described(LocalObject& object, const Returned& head, ConstBytes bytes,
                                    std::vector<base::NodeId> holders) {
  if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) return;
  if (head.place == Place::kInline) {
    object.settle_inline(bytes);
  } else {
    if (std::ranges::count(holders, p_.links.self().node) != 0) p_.store.expect(object.id());
    set_holders(object, std::move(holders));
    object.settle_remote(head.size);
  }
  settled(object);
  // Somebody may want the bytes, not only the news.
  if (object.status() == ObjectStatus::kRemote && object.has_waiters()) fetch(object);
}

// ---- endings -----------------------------------------------------------------------------------------

void ObjectValues::fail(LocalObject& object, ErrorInfo error) {
  object.settle_error(std::move(error));
  settled(object);
}

void ObjectValues::fail_orphan(LocalObject& object, const Peer& owner) {
  ErrorInfo error = lost(object, "the process that owned this object has died", {owner.why_lost.what});
  error.kind = base::ErrorKind::kOwnerDied;
  error.pid = owner.address.pid;
  error.remedy = "let a process that outlives the readers make the object or submit its task";
  fail(object, std::move(error));
}

ErrorInfo ObjectValues::lost(const LocalObject& object, std::string what, std::vector<std::string> evidence) const {
  ErrorInfo error;
  error.kind = base::ErrorKind::kObjectLost;
  error.what = std::move(what);
  error.evidence = std::move(evidence);
  error.evidence.push_back("object " + object.id().hex());
  error.node = os::host_name() + " " + p_.links.self().node.short_hex();
  return error;
}

// ---- messages ----------------------------------------------------------------------------------------

void ObjectValues::answer(Peer& to, LocalObject& object) {
  ObjectHeader header;
  header.object = object.id();
  base::Buffer payload;
  if (object.status() == ObjectStatus::kError) {
    header.status = CallStatus::kError;
    encode(object.error(), payload);
  } else {
    describe(object, payload);
  }
  p_.links.send(to, Hot::kObjectValue, base::object_bytes(header), payload.view());
}

void ObjectValues::on_object_get(Peer& from, const ObjectHeader& header) {
  ObjectRef ref = p_.table.find(header.object);
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
    p_.links.send(from, Hot::kObjectValue, base::object_bytes(reply), payload.view());
    return;
  }
  if (ref->settled()) return answer(from, local(ref));
  local(ref).more().asking.push_back(&from);
}

void ObjectValues::on_object_value(const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = p_.table.find(header.object);
  if (!ref || ref->settled()) return;
  LocalObject& object = local(ref);
  if (header.status == CallStatus::kError) {
    auto error = base::decode_error_info(payload);
    return fail(object, error ? std::move(*error) : lost(object, "the owner sent an error that cannot be read", {}));
  }
  base::Cursor in(payload);
  Returned head;
  ConstBytes bytes;
  std::vector<base::NodeId> holders;
  if (!read_described(in, head, bytes, holders)) {
    return fail(object, lost(object, "the owner sent a value that cannot be read", {}));
  }
  settle_described(object, head, bytes, std::move(holders));
}

void ObjectValues::on_location(const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = p_.table.find(header.object);
  base::Cursor in(payload);
  const auto node = in.get<base::NodeId>();
  if (!in.ok()) return;
  if (!ref) {
    // Freed while the copy was made: free the copy too.
    proto::FreeObjects request;
    request.add_object_ids(header.object.bytes());
    request.add_nodes(node.bytes());
    if (p_.raylet.is_open()) (void)p_.raylet.rpc().notify(proto::FREE_OBJECTS, request);
    return;
  }
  auto& holders = local(ref).more().holders;
  if (std::ranges::count(holders, node) == 0) holders.push_back(node);
}

}  // namespace mobula::runtime

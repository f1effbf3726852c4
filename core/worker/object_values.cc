#include "core/worker/object_values.h"

#include <algorithm>
#include <utility>

#include "core/os/host.h"

namespace mobula::runtime {
namespace {

constexpr auto kPullTimeout = std::chrono::seconds(60);
// A copy that is there and cannot be read: again after 50 ms, doubling, until a death explains it, or for a minute.
constexpr int kPullFailuresMax = 35;
constexpr auto kPullAgainFirst = std::chrono::milliseconds(50);
constexpr auto kPullAgainMax = std::chrono::seconds(2);

}  // namespace

void ObjectValues::fetch(LocalObject& object) {
  if (object.status() == ObjectStatus::kPending && object.borrowed()) return ask_owner(object);
  if (object.status() != ObjectStatus::kRemote || object.sought) return;
  LocalObject::More& more = object.more();
  if (more.pulling || (more.backs_off && !more.holders.empty())) return;
  if (auto view = p_.store.get(object.id())) {
    object.settle_view(std::move(*view));
    settled(object);
    return;
  }
  if (more.holders.empty()) return seek(object);
  more.pulling = true;
  p_.metrics.pulls.add();
  proto::Pull request;
  request.set_object_id(object.id().bytes());
  request.set_size(object.size());
  for (const base::NodeId& node : more.holders) request.add_holders(node.bytes());
  p_.raylet.rpc().ask<proto::Pulled>(proto::PULL, request, kPullTimeout,
                                     [this, ref = ObjectRef(&object), asked = Asked{more.holders, more.epoch}](
                                         base::Result<proto::Pulled> result) { pull_ended(ref, asked, result); });
}

void ObjectValues::pull_later(LocalObject& object, const std::string& why) {
  int& failures = object.more().pull_failures;
  if (++failures > kPullFailuresMax || !p_.raylet.is_open()) {
    return fail(object, lost(object, "the object could not be brought to this node", {why}));
  }
  const auto delay = std::min<base::Duration>(kPullAgainMax, kPullAgainFirst * (1 << std::min(failures - 1, 6)));
  object.more().backs_off = true;
  p_.engine.loop().after(delay, [this, ref = ObjectRef(&object)] {
    local(ref).more().backs_off = false;
    fetch(local(ref));
  });
  p_.engine.notify();  // A thread that sleeps knows only the deadlines from before.
}

void ObjectValues::pull_ended(const ObjectRef& ref, const Asked& asked, const base::Result<proto::Pulled>& result) {
  LocalObject& object = local(ref);
  LocalObject::More& more = object.more();
  more.pulling = false;
  if (object.status() != ObjectStatus::kRemote) return;
  std::optional<View> view = p_.store.get(object.id());
  if (!view) {
    if (object.sought) return;  // The news of a death was faster.
    if (result.ok()) return pull_later(object, "it was evicted again before it could be read");
    if (result.error().code == base::Code::kExhausted) {
      ErrorInfo error = lost(object, "the object could not be brought to this node", {result.error().what});
      error.kind = base::ErrorKind::kObjectStoreFull;
      return fail(object, std::move(error));
    }
    if (result.error().code != base::Code::kLost) return pull_later(object, result.error().what);
    if (more.epoch == asked.epoch) {
      for (const base::NodeId& node : asked.holders) strike(object, node);
    }
    return fetch(object);
  }
  more.pull_failures = 0;
  object.sought = false;
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

// ---- losses -----------------------------------------------------------------------------------------

bool ObjectValues::strike(LocalObject& object, const base::NodeId& node) {
  LocalObject::More* more = object.more_if_any();
  if (more == nullptr || std::erase(more->holders, node) == 0) return false;
  more->gone.push_back(node);
  return more->holders.empty();
}

void ObjectValues::note_dead(const base::NodeId& node, const std::string& why) { dead_.emplace(node, why); }

std::vector<std::string> ObjectValues::evidence_of_loss(LocalObject& object) const {
  std::vector<std::string> lines;
  for (const base::NodeId& node : object.more().gone) {
    const auto death = dead_.find(node);
    lines.push_back("node " + node.short_hex() +
                    (death == dead_.end() ? " has its copy no more" : " had a copy and has died: " + death->second));
  }
  return lines;
}

void ObjectValues::seek_if_lost(LocalObject& object) {
  if (object.borrowed() || object.sought || object.more().pulling || !object.more().holders.empty()) return;
  seek(object);
}

// Whose it is finds it: another copy that it has heard of, or its task runs again.
void ObjectValues::seek(LocalObject& object) {
  if (object.sought) return;
  LocalObject::More& more = object.more();
  if (more.owner != nullptr && more.owner->lost) return fail_orphan(object, *more.owner);
  object.sought = true;
  if (more.owner == nullptr) {
    recover_(object);
  } else {
    p_.metrics.values_asked.add();
    ObjectHeader header;
    header.object = object.id();
    base::Buffer payload;
    payload.put(more.epoch);
    for (const base::NodeId& node : more.gone) payload.put(node);
    p_.links.send(*more.owner, Hot::kObjectGet, base::object_bytes(header), payload.view());
  }
  if (object.sought && on_sought_) on_sought_();
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
  if (LocalObject::More* more = object.more_if_any()) head.epoch = more->epoch;
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

void ObjectValues::settle_described(LocalObject& object, const Returned& head, ConstBytes bytes,
                                    std::vector<base::NodeId> holders) {
  if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) return;
  if (object.settled() && (!object.borrowed() || head.epoch < object.more().epoch)) return;  // We know better.
  if (head.place == Place::kInline) {
    object.settle_inline(bytes);
  } else {
    if (std::ranges::count(holders, p_.links.self().node) != 0) p_.store.expect(object.id());
    LocalObject::More& more = object.more();
    if (head.epoch != more.epoch) more.gone.clear();
    more.epoch = head.epoch;
    set_holders(object, std::move(holders));
    object.settle_remote(head.size);
    for (const auto& [node, why] : dead_) strike(object, node);
  }
  object.sought = false;
  settled(object);
  // Somebody may want the bytes, not only the news.
  if (object.status() == ObjectStatus::kRemote && object.has_waiters()) fetch(object);
}

void ObjectValues::settle_result(LocalObject& object, const Returned& head, ConstBytes bytes,
                                 const std::vector<base::NodeId>& holders) {
  if (head.place == Place::kInline) {
    if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) return;
    object.settle_inline(bytes);
    object.sought = false;
    return settled(object);
  }
  LocalObject::More& more = object.more();
  if (object.status() == ObjectStatus::kRemote && more.holders.empty()) {
    ++more.epoch;
    more.gone.clear();
  }
  // Those of a run before are kept: each copy must be freed in the end.
  for (const base::NodeId& node : holders) {
    if (dead_.contains(node)) {
      more.gone.push_back(node);
    } else if (std::ranges::count(more.holders, node) == 0) {
      more.holders.push_back(node);
    }
  }
  object.entangle();
  if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) return;
  if (std::ranges::count(more.holders, p_.links.self().node) != 0) p_.store.expect(object.id());
  object.settle_remote(head.size);
  object.sought = false;
  if (more.holders.empty() && object.is_wanted()) return seek(object);  // The node has died since it replied.
  settled(object);
  if (object.status() == ObjectStatus::kRemote && object.has_waiters()) fetch(object);
}

// ---- endings -----------------------------------------------------------------------------------------

void ObjectValues::fail(LocalObject& object, ErrorInfo error) {
  object.sought = false;
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

bool ObjectValues::on_object_get(Peer& from, const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = p_.table.find(header.object);
  if (!ref) {
    ObjectHeader reply;
    reply.object = header.object;
    reply.status = CallStatus::kError;
    ErrorInfo error;
    error.kind = base::ErrorKind::kObjectLost;
    error.what = "object " + header.object.short_hex() + " was freed: its owner holds no reference to it any more";
    error.remedy = "keep a Ref to the object, or to the value that holds it, until its readers have it";
    base::Buffer text;
    encode(error, text);
    p_.links.send(from, Hot::kObjectValue, base::object_bytes(reply), text.view());
    return true;
  }
  LocalObject& object = local(ref);
  if (!payload.empty()) {
    base::Cursor in(payload);
    const auto epoch = in.get<std::uint32_t>();
    if (!in.ok() || in.left() % sizeof(base::NodeId) != 0) return false;
    while (in.left() != 0) {
      const auto node = in.get<base::NodeId>();
      if (object.status() == ObjectStatus::kRemote && epoch == object.more().epoch) strike(object, node);
    }
  }
  if (object.status() == ObjectStatus::kRemote) seek_if_lost(object);
  if (object.has_value()) {
    answer(from, object);
  } else {
    object.more().asking.push_back(&from);
  }
  return true;
}

void ObjectValues::on_object_value(const ObjectHeader& header, ConstBytes payload) {
  ObjectRef ref = p_.table.find(header.object);
  if (!ref || local(ref).has_value()) return;
  LocalObject& object = local(ref);
  if (header.status == CallStatus::kError) {
    auto error = base::decode_error_info(payload);
    return fail(object, error ? std::move(*error) : lost(object, "the owner sent an error that cannot be read", {}));
  }
  base::Cursor in(payload);
  DescribedValue value;
  if (!read_described(in, value)) {
    return fail(object, lost(object, "the owner sent a value that cannot be read", {}));
  }
  settle_described(object, value.head, value.bytes, std::move(value.holders));
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
  if (!dead_.contains(node) && std::ranges::count(holders, node) == 0) holders.push_back(node);
}

}  // namespace mobula::runtime

#include "core/worker/borrows.h"

namespace mobula::runtime {

void Borrows::borrow(LocalObject& object) {
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

void Borrows::release(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.borrow_sent && !more.owner->lost) releases_.emplace_back(more.owner, object.id());
}

void Borrows::after_borrows(std::function<void()> then) {
  if (borrows_open_.empty()) return then();
  after_borrows_.push_back(std::move(then));
}

void Borrows::flush_releases() {
  if (!borrows_open_.empty() || releases_.empty()) return;
  const auto releases = std::exchange(releases_, {});
  for (const auto& [owner, id] : releases) {
    if (table_.contains(id)) continue;  // Borrowed again meanwhile.
    ObjectHeader header;
    header.object = id;
    links_.send(*owner, Hot::kRelease, base::object_bytes(header), {});
  }
}

void Borrows::borrow_ended(Peer& owner, const ObjectId& id, bool known) {
  const auto open = borrows_open_.find(id);
  if (open == borrows_open_.end() || open->second != &owner) return;
  borrows_open_.erase(open);
  if (!known) {
    if (ObjectRef ref = table_.find(id); ref && !ref->settled()) {
      LocalObject& object = local(ref);
      values_.fail(object,
                   values_.lost(object, "the owner had freed the object before it heard of this reference", {}));
    }
  }
  if (!borrows_open_.empty()) return;
  flush_releases();
  for (auto& then : std::exchange(after_borrows_, {})) then();
}

void Borrows::on_borrow(Peer& from, const ObjectHeader& header) {
  ObjectHeader reply;
  reply.object = header.object;
  ObjectRef ref = table_.find(header.object);
  if (ref) {
    local(ref).more().borrowers[from.address.worker] = &from;
    lent_.emplace(header.object, ref);
  } else {
    reply.status = CallStatus::kError;
  }
  links_.send(from, Hot::kBorrowed, base::object_bytes(reply), {});
}

void Borrows::on_borrowed(Peer& from, const ObjectHeader& header) {
  borrow_ended(from, header.object, header.status == CallStatus::kOk);
}

void Borrows::on_release(Peer& from, const ObjectHeader& header) {
  const auto lent = lent_.find(header.object);
  if (lent == lent_.end()) return;
  auto& borrowers = local(lent->second).more().borrowers;
  borrowers.erase(from.address.worker);
  if (borrowers.empty()) lent_.erase(lent);
}

void Borrows::on_peer_lost(Peer& peer) {
  std::vector<ObjectId> returned;
  for (const auto& [id, ref] : lent_) {
    auto& borrowers = local(ref).more().borrowers;
    if (borrowers.erase(peer.address.worker) != 0 && borrowers.empty()) returned.push_back(id);
  }
  for (const ObjectId& id : returned) lent_.erase(id);
  std::vector<ObjectId> ended;
  for (const auto& [id, owner] : borrows_open_) {
    if (owner == &peer) ended.push_back(id);
  }
  for (const ObjectId& id : ended) borrow_ended(peer, id, true);
}

}  // namespace mobula::runtime

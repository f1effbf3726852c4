#include "core/worker/borrows.h"

#include <iterator>
#include <utility>

#include "core/os/event_loop.h"

namespace mobula::runtime {

using namespace objstore;

// ---- what this process does -------------------------------------------------------------------------

void Borrows::borrow(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.borrow_sent) return;
  more.borrow_sent = true;
  if (more.owner->lost) return;
  metrics_.borrows.add();
  step(Borrow{{{object.id(), more.owner->address.worker}}});
}

std::vector<RefName> Borrows::claim(std::span<const ObjectRef> refs) {
  std::vector<RefName> names;
  for (const ObjectRef& ref : refs) {
    LocalObject& object = local(ref);
    if (!object.borrowed() || std::exchange(object.more().borrow_sent, true) || object.more().owner->lost) continue;
    metrics_.borrows.add();
    names.push_back({object.id(), object.more().owner->address.worker});
  }
  return names;
}

void Borrows::release(LocalObject& object) {
  LocalObject::More& more = object.more();
  if (more.borrow_sent && !more.owner->lost) releases_.push_back({object.id(), more.owner->address.worker});
}

void Borrows::flush_releases() {
  if (!releases_.empty()) step(Drop{std::exchange(releases_, {})});
}

void Borrows::after_borrows(std::function<void()> then) {
  if (machine_.is_settled() && inputs_.empty()) return then();
  const std::uint64_t token = next_token_++;
  after_.emplace(token, std::move(then));
  step(Await{token});
}

void Borrows::take_over(Peer& from, std::uint64_t call, std::span<const ObjectRef> refs) {
  step(TakeOver{from.address.worker, call, claim(refs)});
}

void Borrows::hold_for(Peer& peer, std::vector<ObjectRef> refs) {
  if (refs.empty()) return;
  auto& held = held_for_[peer.address.worker];
  held.insert(held.end(), std::make_move_iterator(refs.begin()), std::make_move_iterator(refs.end()));
}

void Borrows::on_peer_lost(Peer& peer, std::span<const ObjectRef> covered) {
  step(PeerLost{peer.address.worker, claim(covered)});
}

// ---- the machine ------------------------------------------------------------------------------------

void Borrows::step(OwnershipInput input) {
  inputs_.push_back(std::move(input));
  if (!busy_) run_machine();
}

void Borrows::run_machine() {
  busy_ = true;
  for (;;) {
    for (OwnershipOutput& output : std::exchange(out_, {})) carry_out(output);
    if (inputs_.empty()) break;
    machine_.step(os::now(), std::move(inputs_.front()), out_);
    inputs_.pop_front();
  }
  busy_ = false;
  arm_timer();
}

void Borrows::carry_out(OwnershipOutput& output) {
  if (const auto* tell = std::get_if<Tell>(&output)) {
    send(*tell);
  } else if (const auto* told = std::get_if<Told>(&output)) {
    send(*told);
  } else if (const auto* retain = std::get_if<Retain>(&output)) {
    if (ObjectRef ref = table_.find(retain->object)) lent_.emplace(retain->object, std::move(ref));
  } else if (const auto* let_go = std::get_if<LetGo>(&output)) {
    lent_.erase(let_go->object);
  } else if (const auto* unknown = std::get_if<Unknown>(&output)) {
    become_error(unknown->ref);
  } else if (const auto* passed = std::get_if<Passed>(&output)) {
    if (const auto then = after_.extract(passed->token)) then.mapped()();
  } else if (const auto* handed = std::get_if<HandedOver>(&output)) {
    if (Peer* peer = links_.find(handed->peer)) handed_over_(*peer, handed->handover);
  } else {
    held_for_.erase(std::get<GraceEnded>(output).peer);
  }
}

void Borrows::become_error(const RefName& name) {
  const ObjectRef ref = table_.find(name.object);
  if (!ref || ref->settled()) return;
  LocalObject& object = local(ref);
  if (!object.borrowed() || object.more().owner->address.worker != name.owner) return;
  if (object.more().owner->lost) return values_.fail_orphan(object, *object.more().owner);
  values_.fail(object, values_.lost(object, "the owner had freed the object before it heard of this reference", {}));
}

void Borrows::arm_timer() {
  const auto next = machine_.next_deadline();
  if (!next || (armed_ && *armed_ <= *next)) return;
  if (armed_) engine_.loop().cancel(timer_);
  armed_ = next;
  timer_ = engine_.loop().at(*next, [this] {
    armed_.reset();
    machine_.tick(os::now(), out_);
    run_machine();
  });
  engine_.notify();  // A thread that sleeps knows only the deadlines from before.
}

// ---- messages ---------------------------------------------------------------------------------------

void Borrows::send(const Tell& tell) {
  Peer* peer = links_.find(tell.peer);
  if (peer == nullptr) return;
  TellHeader header;
  header.count = static_cast<std::uint16_t>(tell.statements.size());
  header.floor = tell.floor;
  base::Buffer payload;
  for (const Statement& s : tell.statements) {
    StatementWire wire;
    wire.seq = s.seq;
    wire.handover = s.handover;
    wire.object = s.object;
    wire.verb = static_cast<std::uint8_t>(s.verb);
    payload.put(wire);
  }
  links_.send(*peer, Hot::kTell, base::object_bytes(header), payload.view());
}

void Borrows::send(const Told& told) {
  Peer* peer = links_.find(told.peer);
  if (peer == nullptr) return;
  TellHeader header;
  header.count = static_cast<std::uint16_t>(told.answers.size());
  base::Buffer payload;
  for (const Answer& a : told.answers) {
    AnswerWire wire;
    wire.seq = a.seq;
    wire.known = a.known ? 1 : 0;
    payload.put(wire);
  }
  links_.send(*peer, Hot::kTold, base::object_bytes(header), payload.view());
}

bool Borrows::on_tell(Peer& from, const TellHeader& header, ConstBytes payload) {
  if (payload.size() != header.count * sizeof(StatementWire)) return false;
  Tell tell{from.address.worker, header.floor, {}};
  tell.statements.reserve(header.count);
  base::Cursor in(payload);
  for (std::uint16_t i = 0; i < header.count; ++i) {
    const auto wire = in.get<StatementWire>();
    if (wire.verb > static_cast<std::uint8_t>(Statement::Verb::kHeld)) return false;
    const auto verb = static_cast<Statement::Verb>(wire.verb);
    const bool exists = verb == Statement::Verb::kBorrow && table_.contains(wire.object);
    tell.statements.push_back({wire.seq, verb, exists, wire.object, wire.handover});
  }
  step(std::move(tell));
  return true;
}

bool Borrows::on_told(Peer& from, const TellHeader& header, ConstBytes payload) {
  if (payload.size() != header.count * sizeof(AnswerWire)) return false;
  Told told{from.address.worker, {}};
  told.answers.reserve(header.count);
  base::Cursor in(payload);
  for (std::uint16_t i = 0; i < header.count; ++i) {
    const auto wire = in.get<AnswerWire>();
    told.answers.push_back({wire.seq, wire.known != 0});
  }
  step(std::move(told));
  return true;
}

}  // namespace mobula::runtime

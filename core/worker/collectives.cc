#include "core/worker/collectives.h"

#include <sched.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/os/event_loop.h"

namespace mobula::runtime {

using collective::Group;
using collective::GroupKey;
using collective::MessageHeader;
using collective::MessageKind;
using collective::Operation;

namespace {

// A member that threw is found out by asking, which has to leave room below 2 s for a machine that is busy.
constexpr auto kLookInterval = std::chrono::milliseconds(100);
constexpr auto kQuietBeforeAsking = std::chrono::milliseconds(200);
constexpr std::size_t kActivityBytesMax = 512;

std::string seconds(base::Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(d).count()) + " s";
}

}  // namespace

// ---- joining ----------------------------------------------------------------------------------------

Collectives::Joined* Collectives::find(const GroupKey& key) {
  const auto at = groups_.find(key);
  return at == groups_.end() ? nullptr : at->second.get();
}

std::uint64_t Collectives::incarnation() {
  Engine::Lock lock(engine_);
  return self_.incarnation();
}

void Collectives::join(const GroupKey& key, int rank, const std::vector<base::ActorId>& members, Runs runs) {
  Engine::Lock lock(engine_);
  if (find(key) != nullptr) return;
  auto joined = std::make_unique<Joined>(*this, key, collective::Place{rank, static_cast<int>(members.size())});
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (static_cast<int>(i) == rank) continue;
    joined->members[i].actor = directory_.state_of(members[i]);
    if (runs == Runs::kFirst) joined->members[i].incarnation_max = 0;
  }
  enter(std::move(joined));
}

void Collectives::join_part(const GroupKey& key, const GroupKey& parent_key, const std::vector<int>& ranks) {
  Engine::Lock lock(engine_);
  Joined* parent = find(parent_key);
  if (parent == nullptr || find(key) != nullptr) return;
  const auto self = std::ranges::find(ranks, parent->group.place().rank);
  if (self == ranks.end()) return;
  const collective::Place place{static_cast<int>(self - ranks.begin()), static_cast<int>(ranks.size())};
  auto joined = std::make_unique<Joined>(*this, key, place);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    joined->members[i].actor = parent->members[static_cast<std::size_t>(ranks[i])].actor;
  }
  enter(std::move(joined));
}

void Collectives::enter(std::unique_ptr<Joined> entering) {
  Joined& joined = *entering;
  groups_[joined.group.key()] = std::move(entering);
  for (int rank = 0; rank < joined.group.place().size; ++rank) {
    if (Member& member = joined.members[static_cast<std::size_t>(rank)]; member.actor != nullptr) {
      directory_.subscribe(*member.actor);
      meet(joined, rank);
    }
  }
  for (Unjoined& message : std::exchange(unjoined_, {})) {
    if (GroupKey{message.header.group, message.header.epoch} == joined.group.key()) {
      unjoined_bytes_ -= message.payload.size();
      deliver(joined, *message.from, message.header, message.payload.view());
    } else {
      unjoined_.push_back(std::move(message));
    }
  }
}

// What is known of a member's actor, as far as the group cares: who it is, or that it is no more.
void Collectives::meet(Joined& joined, int rank) {
  Member& member = joined.members[static_cast<std::size_t>(rank)];
  const ActorState& actor = *member.actor;
  if (actor.phase == ActorState::Phase::kDead) {
    return lose(joined, rank, actor.death ? actor.death->what : "its actor has died");
  }
  if (!member.incarnation) {
    if (actor.phase != ActorState::Phase::kAlive || actor.incarnation < member.incarnation_min) return;
    member.incarnation = actor.incarnation;
    member.peer = actor.peer;
    if (actor.incarnation > member.incarnation_max) {
      return joined.group.lose(rank, "its process has ended; the actor was started again", joined, actor.incarnation);
    }
    if (member.peer == nullptr) return lose(joined, rank, "its process has ended");
    return joined.group.pump(joined);
  }
  if (actor.phase == ActorState::Phase::kRestarting || actor.incarnation != *member.incarnation) {
    lose(joined, rank, "its process has ended; the actor was started again");
  }
}

void Collectives::lose(Joined& joined, int rank, const std::string& why) {
  const Member& member = joined.member(rank);
  joined.group.lose(rank, why, joined, member.incarnation.value_or(member.incarnation_min) + 1);
}

// ---- calls ------------------------------------------------------------------------------------------

bool Collectives::Joined::send(int rank, const MessageHeader& header, base::ConstBytes payload) {
  const Member& member = members[static_cast<std::size_t>(rank)];
  if (member.peer == nullptr) return false;         // meet() pumps.
  if (member.peer->lost) return true;               // It hears of nothing any more.
  if (!member.peer->backlog.empty()) return false;  // on_writable() pumps.
  all.links_.send(*member.peer, Hot::kCollective, base::object_bytes(header), payload);
  return true;
}

PendingCollective Collectives::begin(const CollectiveCall& call) {
  Engine::Lock lock(engine_);
  PendingCollective pending{call.group, call.request.operation, nullptr};
  Joined* joined = find(call.group);
  if (joined == nullptr) {
    pending.call = std::make_shared<collective::Call>();
    pending.call->failed = true;
    return pending;
  }
  Group& group = joined->group;
  const collective::Request& r = call.request;
  if (r.operation == Operation::kSendReceive) {
    const std::size_t bytes = r.count * r.element_bytes;
    pending.call = call.to >= 0
                       ? group.begin_send(call.to, {static_cast<const std::byte*>(call.input), bytes}, *joined)
                       : group.begin_receive(call.from, {static_cast<std::byte*>(call.output), bytes}, *joined);
  } else {
    const collective::Signature signature{r.operation, r.root, call.reduction != nullptr ? call.reduction->id : 0,
                                          r.counts.empty() ? r.count : 0, r.element_bytes};
    pending.call = group.begin(plan_for(options_.table, r, group.place()), signature,
                               {static_cast<const std::byte*>(call.input), static_cast<std::byte*>(call.output)},
                               call.reduction, *joined);
  }
  if (!pending.call->ended()) watch();
  return pending;
}

bool Collectives::ended(const PendingCollective& pending) {
  Engine::Lock lock(engine_);
  if (!pending.call->ended()) engine_.progress();
  return pending.call->ended();
}

std::shared_ptr<const base::ErrorInfo> Collectives::wait(const PendingCollective& pending) {
  Engine::Lock lock(engine_);
  engine_.wait(
      lock, [&] { return pending.call->ended(); }, std::nullopt);
  if (pending.call->done) return nullptr;
  if (Joined* joined = find(pending.group)) return error_of(*joined, pending.operation);
  auto error = std::make_shared<base::ErrorInfo>();
  if (pending.group.epoch == kNoEpoch && pending.group.id != 0) {
    error->kind = base::ErrorKind::kCollective;
    error->what = "this member was started again and is no part of the group yet";
    error->remedy = "rebuild() takes it in, as soon as the others call that too";
    return error;
  }
  error->kind = base::ErrorKind::kInvalid;
  error->what =
      std::string(name_of(pending.operation)) + " outside a group: this process is no member of one, or not yet";
  error->remedy = "call collectives in methods of actors that mobula::group made, not in their constructors";
  return error;
}

std::shared_ptr<const base::ErrorInfo> Collectives::run_in_messages(const CollectiveCall& call) {
  return wait(begin(call));
}

std::shared_ptr<const base::ErrorInfo> Collectives::error_of(Joined& joined, Operation operation) const {
  const collective::Failure& failure = *joined.group.failure();
  auto error = std::make_shared<base::ErrorInfo>();
  error->kind = base::ErrorKind::kCollective;
  error->what = failure.what;
  error->evidence.push_back("operation " + std::string(name_of(operation)) + " on rank " +
                            std::to_string(joined.group.place().rank) + " of " +
                            std::to_string(joined.group.place().size));
  error->evidence.push_back("group " + std::to_string(joined.group.key().id) + ", epoch " +
                            std::to_string(joined.group.key().epoch));
  std::string dead = "dead ranks:";
  for (const auto& [rank, next_incarnation] : failure.dead) dead += " " + std::to_string(rank);
  if (!failure.dead.empty()) error->evidence.push_back(std::move(dead));
  error->remedy = failure.dead.empty()
                      ? "make the same calls in the same order on all ranks; shrink() goes on after that"
                      : "shrink() goes on with those that live; rebuild() starts the others again";
  return error;
}

// ---- messages ---------------------------------------------------------------------------------------

void Collectives::on_message(Peer& from, const MessageHeader& header, base::ConstBytes payload) {
  if (header.kind == MessageKind::kPing) return answer_ping(from, header);
  if (Joined* joined = find({header.group, header.epoch})) return deliver(*joined, from, header, payload);
  if (unjoined_bytes_ + payload.size() > kUnjoinedBytesMax) {
    return links_.declare_lost(from, {base::Code::kExhausted, "too much came for groups that are not joined here"});
  }
  Unjoined waiting{&from, header, {}};
  waiting.payload.append(payload);
  unjoined_bytes_ += payload.size();
  unjoined_.push_back(std::move(waiting));
}

void Collectives::deliver(Joined& joined, Peer& from, const MessageHeader& header, base::ConstBytes payload) {
  const bool known = header.from >= 0 && header.from < joined.group.place().size;
  Member* member = known ? &joined.members[static_cast<std::size_t>(header.from)] : nullptr;
  if (member == nullptr) {
    return links_.declare_lost(from, {base::Code::kInvalid, "it spoke for a member of a group that it is not"});
  }
  if (member->peer != nullptr && member->peer != &from) {
    // Another run of the actor speaks, which its death came to know first.
    lose(joined, header.from, "its process has ended; the actor was started again");
    member->peer = &from;
    return joined.group.tell_again(header.from, joined);
  }
  member->heard = os::now();
  if (header.kind == MessageKind::kPong) {
    member->activity = base::as_string_view(payload.first(std::min(payload.size(), kActivityBytesMax)));
    return;
  }
  if (header.kind == MessageKind::kWake) {
    joined.woken = true;
    return engine_.notify();
  }
  if (!joined.group.receive(header, payload, joined)) {
    return links_.declare_lost(from, {base::Code::kInvalid, "it broke the protocol of collectives"});
  }
  engine_.notify();
}

void Collectives::on_writable(Peer& peer) {
  for (const auto& [key, joined] : groups_) {
    if (std::ranges::any_of(joined->members, [&](const Member& m) { return m.peer == &peer; })) {
      joined->group.pump(*joined);
    }
  }
}

void Collectives::on_peer_lost(Peer& peer) {
  std::erase_if(unjoined_, [&](const Unjoined& message) {
    if (message.from != &peer) return false;
    unjoined_bytes_ -= message.payload.size();
    return true;
  });
  for (const auto& [key, joined] : groups_) {
    for (std::size_t i = 0; i < joined->members.size(); ++i) {
      if (joined->members[i].peer == &peer) lose(*joined, static_cast<int>(i), peer.why_lost.what);
    }
  }
}

void Collectives::on_actor_changed(const ActorState& actor) {
  for (const auto& [key, joined] : groups_) {
    for (std::size_t i = 0; i < joined->members.size(); ++i) {
      if (joined->members[i].actor.get() == &actor) meet(*joined, static_cast<int>(i));
    }
  }
}

// ---- members that throw, and members that keep others waiting
// -----------------------------------------------------------------

void Collectives::answer_ping(Peer& from, const MessageHeader& ping) {
  Joined* const joined = find({ping.group, ping.epoch});
  if (joined != nullptr && !thrown_.empty() && self_.is_idle()) {
    // The others wait for a call that this member will not make.
    joined->group.lose(joined->group.place().rank, "its method has thrown: " + thrown_, *joined, self_.incarnation());
  }
  MessageHeader header = ping;
  header.kind = MessageKind::kPong;
  header.from = static_cast<std::int32_t>(ping.count);  // Who was asked, by the asker's count.
  const std::string activity = self_.activity();
  links_.send(from, Hot::kCollective, base::object_bytes(header), base::as_bytes(activity));
}

void Collectives::watch() {
  if (watching_) return;
  watching_ = true;
  engine_.loop().after(kLookInterval, [this] {
    watching_ = false;
    const base::Time now = os::now();
    bool busy = false;
    for (const auto& [key, joined] : groups_) {
      look_after(*joined, now);
      busy = busy || joined->waits();
    }
    if (busy) watch();
    engine_.notify();
  });
}

void Collectives::look_after(Joined& joined, base::Time now) {
  const auto forget = [&] {
    joined.waiting_since = {};
    for (Member& member : joined.members) member.asked_since = {};
  };
  if (!joined.waits() || joined.group.failure()) return forget();
  const std::uint64_t calls_ended = joined.group.calls_ended() + joined.board_calls;
  if (joined.calls_ended != calls_ended) {
    forget();
    joined.calls_ended = calls_ended;
  }
  if (joined.waiting_since == base::Time{}) joined.waiting_since = now;
  if (now - joined.waiting_since < kQuietBeforeAsking) return;
  const std::vector<int> waited_for = joined.waits_for();
  for (const int rank : waited_for) {
    Member& member = joined.members[static_cast<std::size_t>(rank)];
    if (member.peer == nullptr) continue;
    if (member.asked_since == base::Time{}) {
      member.asked_since = now;
      member.heard = std::max(member.heard, now);
    }
    if (now - member.heard > options_.hang_limit) {
      lose(joined, rank,
           "it has not answered for " + seconds(now - member.heard) + "; its process or node hangs or is cut off");
      return;
    }
    MessageHeader ping;
    ping.kind = MessageKind::kPing;
    ping.group = joined.group.key().id;
    ping.epoch = joined.group.key().epoch;
    ping.from = joined.group.place().rank;
    ping.count = static_cast<std::uint64_t>(rank);
    links_.send(*member.peer, Hot::kCollective, base::object_bytes(ping), {});
  }
  if (now - joined.waiting_since < options_.patience) return;
  std::string what = "rank " + std::to_string(joined.group.place().rank) + " has waited " +
                     seconds(now - joined.waiting_since) + " in " + joined.group.describe();
  for (const int rank : waited_for) {
    const Member& member = joined.members[static_cast<std::size_t>(rank)];
    what += "; rank " + std::to_string(rank) + (member.peer == nullptr ? " was never started" : ": " + member.activity);
  }
  joined.group.give_up(what, joined);
}

}  // namespace mobula::runtime

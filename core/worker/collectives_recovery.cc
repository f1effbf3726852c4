// How a member goes on after its group has failed: the machine is collective/succession.h; here it reads and writes the
// log of the group's epochs, which the GCS keeps, and comes together with the others by messages.
#include <algorithm>
#include <utility>

#include "core/os/event_loop.h"
#include "core/worker/collectives.h"

namespace mobula::runtime {

using base::Code;
using base::Result;
using collective::Entry;
using collective::GroupKey;
using collective::Slot;
using collective::Succession;

namespace {

constexpr const char* kNamespace = "collective";
constexpr auto kAnswerTimeout = std::chrono::seconds(2);
constexpr auto kLogPatience = std::chrono::seconds(20);  // For the GCS to answer at all.
constexpr auto kMembersRetry = std::chrono::milliseconds(20);

std::string group_name(std::uint64_t id) { return std::to_string(id); }
std::string members_key(std::uint64_t group) { return group_name(group) + "/members"; }
std::string slot_key(std::uint64_t group, const Slot& slot) {
  return group_name(group) + "/" + std::to_string(slot.epoch) + "/" + std::to_string(slot.number);
}

proto::KeyValue key_value(std::string key) {
  proto::KeyValue out;
  out.set_ns(kNamespace);
  out.set_key(std::move(key));
  return out;
}

std::shared_ptr<const base::ErrorInfo> error(std::string what, std::string remedy) {
  auto out = std::make_shared<base::ErrorInfo>();
  out->kind = base::ErrorKind::kCollective;
  out->what = std::move(what);
  out->remedy = std::move(remedy);
  return out;
}

}  // namespace

// A group's log, as the GCS keeps it.  Each function waits for the answer; asking again is harmless.
class Collectives::Log final {
 public:
  Log(Collectives& all, Engine::Lock& lock, std::uint64_t group) : all_(all), lock_(lock), group_(group) {}

  // What is there; nullopt: nothing is.
  Result<std::optional<Entry>> read(const Slot& slot) {
    return entry_of(ask(proto::KV_GET, key_value(slot_key(group_, slot))));
  }
  // What is there then.
  Result<std::optional<Entry>> write(const Succession::Write& what) {
    base::Buffer bytes;
    encode(what.entry, bytes);
    proto::KeyValue request = key_value(slot_key(group_, what.slot));
    request.set_value(std::string(base::as_string_view(bytes.view())));
    auto reply = ask(proto::KV_PUT, request);
    if (reply && !reply->found()) return std::optional(what.entry);
    return entry_of(std::move(reply));
  }
  // Waits until they are published.
  Result<std::vector<base::ActorId>> members() {
    const base::Time until = os::now() + kLogPatience;
    for (;;) {
      auto reply = ask(proto::KV_GET, key_value(members_key(group_)));
      if (!reply) return reply.error();
      if (reply->found()) return parse_members(reply->value());
      if (os::now() > until) return base::Error{Code::kNotFound, "nobody has told who the members of this group are"};
      all_.engine_.wait(
          lock_, [] { return false; }, os::now() + kMembersRetry);
    }
  }

 private:
  Result<proto::KeyValue> ask(proto::MessageType type, const proto::KeyValue& request) {
    const base::Time until = os::now() + kLogPatience;
    for (;;) {
      if (!all_.raylet_.is_open()) return base::Error{Code::kUnavailable, "this node's raylet is gone"};
      auto answer = std::make_shared<std::optional<Result<proto::KeyValue>>>();
      all_.raylet_.rpc().ask<proto::KeyValue>(type, request, kAnswerTimeout,
                                              [this, answer](Result<proto::KeyValue> reply) {
                                                *answer = std::move(reply);
                                                all_.engine_.notify();
                                              });
      all_.engine_.wait(
          lock_, [&] { return answer->has_value(); }, std::nullopt);
      if (**answer || os::now() > until || (**answer).error().code == Code::kInvalid) return std::move(**answer);
    }
  }
  static Result<std::optional<Entry>> entry_of(Result<proto::KeyValue> reply) {
    if (!reply) return reply.error();
    if (!reply->found()) return std::optional<Entry>();
    auto entry = collective::decode_entry(base::as_bytes(reply->value()));
    if (!entry) return base::Error{Code::kInvalid, "the log of the group's epochs is damaged"};
    return entry;
  }
  static Result<std::vector<base::ActorId>> parse_members(const std::string& bytes) {
    std::vector<base::ActorId> out;
    constexpr std::size_t kBytes = sizeof(base::ActorId);
    for (std::size_t at = 0; at + kBytes <= bytes.size(); at += kBytes) {
      out.push_back(base::ActorId::from_bytes(bytes.data() + at));
    }
    return out;
  }

  Collectives& all_;
  Engine::Lock& lock_;
  const std::uint64_t group_;
};

void Collectives::publish(std::uint64_t group, const std::vector<base::ActorId>& members) {
  Engine::Lock lock(engine_);
  if (!raylet_.is_open()) return;
  proto::KeyValue request = key_value(members_key(group));
  for (const base::ActorId& member : members) request.mutable_value()->append(member.bytes());
  raylet_.rpc().ask<proto::KeyValue>(proto::KV_PUT, request, kLogPatience, [](Result<proto::KeyValue>) {});
}

Collectives::Joined& Collectives::try_epoch(const GroupKey& key, const std::vector<base::ActorId>& actors,
                                            const std::map<int, std::uint64_t>& incarnations) {
  if (Joined* known = find(key)) return *known;
  const auto self = std::ranges::find(actors, self_.actor());
  const collective::Place place{static_cast<int>(self - actors.begin()), static_cast<int>(actors.size())};
  auto joined = std::make_unique<Joined>(*this, key, place);
  for (std::size_t i = 0; i < actors.size(); ++i) {
    if (actors[i] != self_.actor()) joined->members[i].actor = directory_.state_of(actors[i]);
  }
  for (const auto& [rank, at_least] : incarnations) joined->member(rank).incarnation_min = at_least;
  Joined& entered = *joined;
  enter(std::move(joined));
  return entered;
}

// A member that hangs is started again only once it is dead; one member sees to that.
void Collectives::end_hanging(Joined& joined, const std::map<int, std::uint64_t>& incarnations) {
  for (int rank = 0; rank < joined.group.place().rank; ++rank) {
    if (!incarnations.contains(rank)) return;
  }
  for (const auto& [rank, at_least] : incarnations) {
    const std::shared_ptr<ActorState>& actor = joined.member(rank).actor;
    if (actor == nullptr || actor->phase != ActorState::Phase::kAlive || actor->incarnation >= at_least) continue;
    if (actor->peer == nullptr || actor->peer->lost) continue;
    proto::KillActor request;
    request.set_actor_id(actor->id.bytes());
    request.set_why("its group is rebuilt without this run of it");
    raylet_.rpc().ask<proto::Empty>(proto::KILL_ACTOR, request, kAnswerTimeout, [](Result<proto::Empty>) {});
  }
}

bool Collectives::come_together(Engine::Lock& lock, Joined& joined) {
  const auto barrier = joined.group.begin(collective::barrier_dissemination(joined.group.place()),
                                          {collective::Operation::kBarrier, 0, 0, 0, 0}, {}, nullptr, joined);
  watch();
  engine_.wait(
      lock, [&] { return barrier->ended(); }, std::nullopt);
  return barrier->done;
}

Succession::Losses Collectives::losses_of(Joined& joined) const {
  const collective::Failure& failure = *joined.group.failure();
  Succession::Losses out{failure.dead, {}, failure.what};
  for (const auto& [rank, next_incarnation] : failure.dead) {
    const std::shared_ptr<ActorState>& actor = joined.member(rank).actor;
    if (actor != nullptr && actor->phase == ActorState::Phase::kDead) out.gone.insert(rank);
  }
  return out;
}

// The epochs before are over.
Recovered Collectives::go_on_as(Joined& joined) {
  const GroupKey key = joined.group.key();
  for (auto it = groups_.lower_bound({key.id, 0}); it != groups_.end() && it->first < key; ++it) {
    leave_shared(*it->second);
  }
  std::erase_if(unjoined_, [&](const Unjoined& message) {
    if (message.header.group != key.id || message.header.epoch > key.epoch) return false;
    unjoined_bytes_ -= message.payload.size();
    return true;
  });
  return {nullptr, key, joined.group.place()};
}

// What is known here of the group that has failed, and the actors that were its members.
Result<std::vector<base::ActorId>> Collectives::begin_recovery(Engine::Lock& lock, Log& log, const GroupKey& group,
                                                               Succession::Start& start) {
  Joined* const failed = find(group);
  if (failed == nullptr) {
    start.newcomer = true;
    start.epoch = kFirstEpoch;
    auto members = log.members();
    if (members && static_cast<int>(members->size()) != start.place.size) {
      return base::Error{Code::kInvalid, "the group is known with other members"};
    }
    return members;
  }
  if (!failed->group.failure()) {
    failed->group.give_up("rank " + std::to_string(start.place.rank) + " called " + name_of(start.how), *failed);
    engine_.notify();
  }
  engine_.wait(
      lock, [&] { return !failed->busy; }, std::nullopt);
  start.place = failed->group.place();
  start.lost = failed->group.failure()->dead;
  start.slot = failed->next_slot;
  std::vector<base::ActorId> actors;
  for (const Member& member : failed->members) {
    actors.push_back(member.actor != nullptr ? member.actor->id : self_.actor());
  }
  return actors;
}

Recovered Collectives::recover(const GroupKey& group, collective::Place place, collective::Recovery how) {
  Engine::Lock lock(engine_);
  Log log(*this, lock, group.id);
  Succession::Start start{group.epoch, place, how, {}, 1, self_.incarnation(), false};
  const auto actors = begin_recovery(lock, log, group, start);
  if (!actors) return {error(actors.error().what, "make a new group"), {}, {}};
  const auto enter_epoch = [&](std::uint32_t epoch, const std::vector<int>& ranks,
                               const std::map<int, std::uint64_t>& incarnations) -> Joined& {
    std::vector<base::ActorId> members;
    for (const int rank : ranks) members.push_back((*actors)[static_cast<std::size_t>(rank)]);
    return try_epoch({group.id, epoch}, members, incarnations);
  };
  for (Succession succession(start);;) {
    const Succession::Action action = succession.next();  // A copy: the answer replaces it.
    if (const auto* meet = std::get_if<Succession::Meet>(&action)) {
      Joined& joined = enter_epoch(meet->epoch, meet->members, meet->incarnations);
      end_hanging(joined, meet->incarnations);
      if (come_together(lock, joined)) {
        succession.on_met();
      } else {
        succession.on_failed(losses_of(joined));
      }
    } else if (const auto* spoil = std::get_if<Succession::Spoil>(&action)) {
      Joined& joined = enter_epoch(spoil->epoch, spoil->members, {});
      if (spoil->incarnation) {
        joined.group.lose(joined.group.place().rank, spoil->what, joined, *spoil->incarnation);
      } else {
        joined.group.give_up(spoil->what, joined);
      }
      succession.on_spoilt();
    } else if (const auto* next = std::get_if<Succession::Next>(&action)) {
      return go_on_as(enter_epoch(next->epoch, next->members, {}));
    } else if (const auto* why = std::get_if<Succession::Failed>(&action)) {
      if (Joined* const failed = find(group)) failed->next_slot = why->slot;
      return {error(why->what, why->left_out ? "this member is no part of the group any more: end it, or start it again"
                                             : "call shrink() or rebuild() on all members again"),
              {},
              {}};
    } else {
      const auto* read = std::get_if<Succession::Read>(&action);
      const auto entry = read != nullptr ? log.read(read->slot) : log.write(std::get<Succession::Write>(action));
      if (!entry) return {error(entry.error().what, "the cluster has lost its GCS"), {}, {}};
      succession.on_slot(*entry);
    }
  }
}

}  // namespace mobula::runtime

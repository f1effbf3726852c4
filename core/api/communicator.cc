#include "mobula/communicator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string>

#include "core/api/runtime_access.h"
#include "core/base/ids.h"
#include "core/os/random.h"
#include "mobula/errors.h"
#include "mobula/group.h"

namespace mobula {

namespace {

Communicator own;  // Written by the constructor's thunk and by the call that joins, before any method can run.

using MemberId = std::array<std::uint32_t, 7>;
static_assert(sizeof(MemberId) == sizeof(base::ActorId));

using runtime::kFirstEpoch;
using runtime::kNoEpoch;

runtime::CollectiveRuntime& collectives() {
  runtime::CollectiveRuntime* found = detail::InSession()->collectives();
  if (found == nullptr) detail::throw_invalid("this process takes part in no groups");
  return *found;
}

std::vector<base::ActorId> ids_of(const std::vector<MemberId>& members) {
  std::vector<base::ActorId> out;
  out.reserve(members.size());
  for (const MemberId& member : members) out.push_back(base::ActorId::from_bytes(member.data()));
  return out;
}

std::vector<MemberId> member_ids(std::span<const runtime::ActorRef> members) {
  std::vector<MemberId> out(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    std::memcpy(out[i].data(), members[i].id().words.data(), sizeof out[i]);
  }
  return out;
}

struct JoinTag {};

// What each member is told before anything else: who all are.
void join_body(detail::Invocation& invocation) {
  detail::ArgumentReader reader(invocation, 2);
  const auto id = detail::read_argument<std::uint64_t>(reader);
  const auto members = detail::read_argument<std::vector<MemberId>>(reader);
  if (!reader.ok()) return;
  // A call that was made again, to a member that was started again, comes too late.
  const collective::GroupKey key{id, kFirstEpoch};
  if (collectives().incarnation() == 0) {
    own = Communicator(own.rank, own.size, key);
    collectives().join(key, own.rank, ids_of(members), runtime::CollectiveRuntime::Runs::kFirst);
  }
  detail::deliver_void(invocation);
}

using Join = detail::Registered<JoinTag, detail::FunctionKind::kMethod, &join_body>;

struct AdoptTag {};

// What an actor is told that exists already: its rank, and who all are.
void adopt_body(detail::Invocation& invocation) {
  detail::ArgumentReader reader(invocation, 3);
  const auto id = detail::read_argument<std::uint64_t>(reader);
  const auto rank = detail::read_argument<int>(reader);
  const auto members = detail::read_argument<std::vector<MemberId>>(reader);
  if (!reader.ok()) return;
  const collective::GroupKey key{id, kFirstEpoch};
  own = Communicator(rank, static_cast<int>(members.size()), key);
  if (members.size() > 1) collectives().join(key, rank, ids_of(members), runtime::CollectiveRuntime::Runs::kAny);
  detail::deliver_void(invocation);
}

using Adopt = detail::Registered<AdoptTag, detail::FunctionKind::kMethod, &adopt_body>;

// A group of one needs nobody: its calls are copies.
void run_alone(const runtime::CollectiveCall& call) {
  using collective::Operation;
  const collective::Request& r = call.request;
  if (r.operation == Operation::kExclusiveScan || r.operation == Operation::kBarrier || call.output == call.input)
    return;
  const std::size_t count = r.counts.empty() ? r.count : r.counts[0];
  if (call.output != nullptr && count != 0) std::memmove(call.output, call.input, count * r.element_bytes);
}

}  // namespace

const Communicator& self() { return own; }

namespace detail {

void become_member(int rank, int size, std::uint64_t group) { own = Communicator(rank, size, {group, kNoEpoch}); }

std::uint64_t new_group() {
  const auto id = os::random_id<base::WorkerId>();
  return base::hash64({reinterpret_cast<const char*>(id.words.data()), sizeof id.words});
}

void join_members(std::uint64_t group, std::span<const runtime::ActorRef> members, Restarts restarts) {
  if (InSession()->collectives() == nullptr) return;
  const std::vector<MemberId> ids = member_ids(members);
  if (restarts == Restarts::kAllowed) collectives().publish(group, ids_of(ids));
  for (const runtime::ActorRef& member : members) {
    runtime::Arguments arguments;
    arguments.add_plain(group);
    Encoder list;
    encode(list, ids);
    arguments.add(std::move(list));
    ObjectRef joined;
    call_method(member, *Join::entry, std::move(arguments), {&joined, 1});
  }
}

void join_existing(std::span<const runtime::ActorRef> members) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!members[i]) throw_invalid("member " + std::to_string(i) + " of a group is an empty handle");
  }
  const std::vector<MemberId> ids = member_ids(members);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (ids[i] == ids[j]) {
        throw_invalid("members " + std::to_string(j) + " and " + std::to_string(i) + " of a group are one actor");
      }
    }
  }
  const std::uint64_t group = new_group();
  for (std::size_t rank = 0; rank < ids.size(); ++rank) {
    runtime::Arguments arguments;
    arguments.add_plain(group);
    arguments.add_plain(static_cast<int>(rank));
    Encoder list;
    encode(list, ids);
    arguments.add(std::move(list));
    ObjectRef adopted;
    call_method(members[rank], *Adopt::entry, std::move(arguments), {&adopted, 1});
  }
}

const collective::Reduction& reduction_of(collective::DataType type, ReduceOp op) {
  const auto operation = static_cast<collective::ReduceOp>(op);
  const collective::Reduction* found = collective::find_reduction(type, operation);
  if (found == nullptr) {
    throw_invalid(std::string("there is no ") + collective::name_of(operation) + " of " + collective::name_of(type));
  }
  return *found;
}

std::uint32_t reduction_id(const std::type_info& tag) {
  return static_cast<std::uint32_t>(base::hash64(tag.name())) | 0x8000'0000u;
}

runtime::PendingCollective begin_collective(const runtime::CollectiveCall& call) { return collectives().begin(call); }

bool collective_ended(const runtime::PendingCollective& pending) {
  return pending.call == nullptr || collectives().ended(pending);
}

void await_collective(const runtime::PendingCollective& pending) {
  if (pending.call == nullptr) return;
  if (const auto failed = collectives().wait(pending)) throw_error(*failed);
}

void check_root(int root, int size) {
  if (root >= 0 && root < size) return;
  throw_invalid("rank " + std::to_string(root) + " in a group of " + std::to_string(size));
}

void check_length(std::size_t given, std::size_t wanted, const char* what) {
  if (given == wanted) return;
  throw_invalid(std::string(what) + " has " + std::to_string(given) + " elements where it needs " +
                std::to_string(wanted));
}

std::size_t sum_of(std::span<const std::size_t> counts, int size) {
  check_length(counts.size(), static_cast<std::size_t>(size), "the list of counts");
  return std::accumulate(counts.begin(), counts.end(), std::size_t{0});
}

}  // namespace detail

namespace {

runtime::CollectiveCall call_of(const collective::GroupKey& group, collective::Operation operation, int root,
                                std::size_t count, std::size_t element_bytes, const void* in, void* out,
                                const collective::Reduction* reduction, std::span<const std::size_t> counts,
                                std::span<const std::size_t> receives) {
  runtime::CollectiveCall call;
  call.group = group;
  call.request = {
      operation, root, count, element_bytes, {counts.begin(), counts.end()}, {receives.begin(), receives.end()}};
  call.reduction = reduction;
  call.input = in;
  call.output = out;
  return call;
}

}  // namespace

void Communicator::run(collective::Operation operation, int root, std::size_t count, std::size_t element_bytes,
                       const void* in, void* out, const collective::Reduction* reduction,
                       std::span<const std::size_t> counts, std::span<const std::size_t> receives) const {
  detail::check_root(root, size);
  const auto call = call_of(key_, operation, root, count, element_bytes, in, out, reduction, counts, receives);
  if (size == 1) return run_alone(call);
  if (const auto failed = collectives().run(call)) detail::throw_error(*failed);
}

CollectiveHandle Communicator::begin(collective::Operation operation, int root, std::size_t count,
                                     std::size_t element_bytes, const void* in, void* out,
                                     const collective::Reduction* reduction, std::span<const std::size_t> counts,
                                     std::span<const std::size_t> receives) const {
  detail::check_root(root, size);
  const auto call = call_of(key_, operation, root, count, element_bytes, in, out, reduction, counts, receives);
  if (size > 1) return CollectiveHandle(detail::begin_collective(call));
  run_alone(call);
  return CollectiveHandle({key_, operation, nullptr});
}

CollectiveHandle Communicator::message(int to, int from, std::size_t bytes, const void* out, void* in) const {
  const int other = to >= 0 ? to : from;
  detail::check_root(other, size);
  if (other == rank) {
    detail::throw_invalid("rank " + std::to_string(rank) + " sends to or receives from itself",
                          "copy the data instead");
  }
  runtime::CollectiveCall call;
  call.group = key_;
  call.request.operation = collective::Operation::kSendReceive;
  call.request.count = bytes;
  call.to = to;
  call.from = from;
  call.input = out;
  call.output = in;
  return CollectiveHandle(detail::begin_collective(call));
}

Communicator Communicator::split(int color, int key) const {
  struct Wish {
    int color;
    int key;
  };
  const Wish mine{color, key};
  std::vector<Wish> all(static_cast<std::size_t>(size));
  allgather(std::span<const Wish>(&mine, 1), std::span<Wish>(all));
  const std::uint32_t number = ++splits_;
  if (color < 0 || size == 1) return {};
  std::vector<int> ranks;
  for (int r = 0; r < size; ++r) {
    if (all[static_cast<std::size_t>(r)].color == color) ranks.push_back(r);
  }
  std::ranges::stable_sort(ranks, {}, [&](int r) { return all[static_cast<std::size_t>(r)].key; });
  const int position = static_cast<int>(std::ranges::find(ranks, rank) - ranks.begin());
  if (ranks.size() == 1) return {};
  const std::string name = std::to_string(key_.id) + "/" + std::to_string(key_.epoch) + "/" + std::to_string(number) +
                           "/" + std::to_string(color);
  const collective::GroupKey part{base::hash64(name), kFirstEpoch};
  collectives().join_part(part, key_, ranks);
  return {position, static_cast<int>(ranks.size()), part};
}

Communicator Communicator::recover(collective::Recovery how) const {
  if (size == 1 && key_.epoch == kNoEpoch) return *this;  // It needs nobody.
  const runtime::Recovered recovered = collectives().recover(key_, {rank, size}, how);
  if (recovered.error != nullptr) detail::throw_error(*recovered.error);
  const Communicator next{recovered.place.rank, recovered.place.size, recovered.key};
  if (own.key_ == key_) own = next;
  return next;
}

Communicator Communicator::shrink() const {
  if (key_.id != 0 && key_.epoch == kNoEpoch) {
    detail::throw_invalid("shrink() leaves out the members that died, and this one was started again",
                          "call rebuild() on all members");
  }
  return recover(collective::Recovery::kShrink);
}

Communicator Communicator::rebuild() const {
  if (own.key_ != key_) {
    detail::throw_invalid("rebuild() of a part of a group", "rebuild self(), and split that again");
  }
  return recover(collective::Recovery::kRebuild);
}

}  // namespace mobula

#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "mobula/actor.h"
#include "mobula/wait.h"

namespace mobula {

namespace detail {

// Options of a group and of each of its members.
struct GroupSpec {
  int size = 1;
  runtime::ActorSpecOptions member;
  std::optional<runtime::GroupSpecOptions> reserve;  // A bundle for each member, where leases alone will not do.
};
std::shared_ptr<const GroupSpec> copy_options(const GroupOptions& options);
// Asks for the placement group that the members lie in; nil when they need none.
base::PlacementGroupId reserve_members(const GroupSpec& group);
// The members' options: of a named group, member i is called "name/i"; of one with bundles, it lies in bundle i.
runtime::ActorSpecOptions member_options(const GroupSpec& group, int rank, const base::PlacementGroupId& reserved);

std::uint64_t new_group();
// Makes the actors, in this order, members of the group: the first call that each gets.
enum class Restarts : std::uint8_t { kNever, kAllowed };
void join_members(std::uint64_t group, std::span<const runtime::ActorRef> members, Restarts restarts);
// Makes actors that exist already a new group.  Throws InvalidArgument for one that is none, or stands there twice.
void join_existing(std::span<const runtime::ActorRef> members);

template <class A, class... P>
struct MemberFunction {
  static void body(Invocation& invocation) {
    ArgumentReader reader(invocation, 3 + sizeof...(P));
    const int rank = read_argument<int>(reader);
    const int size = read_argument<int>(reader);
    const auto group = read_argument<std::uint64_t>(reader);
    ArgumentsOf<P...> arguments(reader);
    if (!reader.ok()) return;
    become_member(rank, size, group);  // The constructor may ask.
    if constexpr (std::constructible_from<A, P...>) {
      arguments.apply([&](P&&... p) { construct<A>(invocation, std::forward<P>(p)...); });
    }
    deliver_void(invocation);
  }
  static const FunctionEntry* entry() {
    return Registered<MemberTag<A, P...>, FunctionKind::kConstructor, &body>::entry;
  }
};

}  // namespace detail

// A method of every member of a group: group.each<&C::m>() gives one.
template <class A, auto M, class Signature = detail::Signature<M>>
class EachMethod;

template <class A, auto M, class R, class... P>
class EachMethod<A, M, R(P...)> {
  using Call = detail::MethodCall<A, M, R(P...), detail::Whole>;

 public:
  explicit EachMethod(const std::vector<ActorHandle<A>>& members) : members_(members) {}
  // The same arguments to each; results by rank.
  Refs<detail::Result<R>> operator()(Arg<std::decay_t<P>>... arguments) const {
    detail::check_signature<R, P...>();
    std::vector<Ref<detail::Result<R>>> refs;
    refs.reserve(members_.size());
    for (const ActorHandle<A>& member : members_) {
      refs.push_back(detail::submit_call<typename Call::Shape>(member.actor(), *Call::Function::entry(), arguments...));
    }
    return Refs<detail::Result<R>>(std::move(refs));
  }

 private:
  const std::vector<ActorHandle<A>>& members_;
};

// Actors with ranks 0, 1, ... that belong together.  Copies refer to the same members, which end when no copy and no
// handle to them is left.  Any thread; calls throw as those of ActorHandle do.
template <class A>
class GroupHandle {
 public:
  GroupHandle() = default;
  explicit GroupHandle(std::vector<ActorHandle<A>> members)
      : members_(std::make_shared<const std::vector<ActorHandle<A>>>(std::move(members))) {}

  template <auto M>
  EachMethod<A, M> each() const {  // To be called at once; it refers to this handle.
    return EachMethod<A, M>(members());
  }
  std::size_t size() const { return members().size(); }
  const ActorHandle<A>& operator[](std::size_t rank) const { return members()[rank]; }
  const std::vector<ActorHandle<A>>& members() const {
    static const std::vector<ActorHandle<A>> none;
    return members_ ? *members_ : none;
  }
  auto begin() const { return members().begin(); }
  auto end() const { return members().end(); }

 private:
  std::shared_ptr<const std::vector<ActorHandle<A>>> members_;
};

// group<C>.with({.size = n})(arguments...) makes n actors of class C with the same arguments; in each, self() tells
// its rank.
template <class A>
class GroupFactory {
 public:
  constexpr GroupFactory() = default;
  GroupFactory with(GroupOptions options) const { return GroupFactory(detail::copy_options(options)); }

  template <class... X>
  [[nodiscard]] GroupHandle<A> operator()(const X&... arguments) const {
    detail::check_constructor<A, X...>();
    const detail::GroupSpec alone;
    const detail::GroupSpec& spec = spec_ ? *spec_ : alone;
    const auto* entry = detail::MemberFunction<A, detail::ConstructorArgument<X>...>::entry();
    const std::uint64_t group = detail::new_group();
    std::vector<ActorHandle<A>> members;
    const base::PlacementGroupId reserved = detail::reserve_members(spec);
    for (int rank = 0; rank < spec.size; ++rank) {
      runtime::Arguments out;
      out.add_plain(rank);
      out.add_plain(spec.size);
      out.add_plain(group);
      (Arg<detail::ConstructorArgument<X>>(arguments).add_to(out), ...);
      members.emplace_back(detail::create_actor(*entry, detail::member_options(spec, rank, reserved), std::move(out)));
    }
    if (members.size() > 1) {
      std::vector<runtime::ActorRef> actors;
      for (const ActorHandle<A>& member : members) actors.push_back(member.actor());
      detail::join_members(group, actors,
                           spec.member.max_restarts == 0 ? detail::Restarts::kNever : detail::Restarts::kAllowed);
    }
    return GroupHandle<A>(std::move(members));
  }

 private:
  explicit GroupFactory(std::shared_ptr<const detail::GroupSpec> spec) : spec_(std::move(spec)) {}
  std::shared_ptr<const detail::GroupSpec> spec_;
};
template <class A>
inline const GroupFactory<A> group{};

// A group of actors that exist already, ranked in this order.  In what they are asked to do from now on, self() is this
// group; copies of self() that they keep from before still are the group that they were.  An actor that is started
// again later is rank 0 of 1: give it a new group.
//
//   auto pair = mobula::make_group<Solver>({a, b});
template <class A>
[[nodiscard]] GroupHandle<A> make_group(std::vector<ActorHandle<A>> members) {
  std::vector<runtime::ActorRef> actors;
  actors.reserve(members.size());
  for (const ActorHandle<A>& member : members) actors.push_back(member.actor());
  detail::join_existing(actors);
  return GroupHandle<A>(std::move(members));
}

}  // namespace mobula

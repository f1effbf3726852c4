#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mobula/archive.h"
#include "mobula/communicator.h"
#include "mobula/detail/call.h"

namespace mobula {

template <class A>
class ActorHandle;

namespace detail {

template <auto M, class A>
struct MethodTag {};
template <auto M, class A>
struct SplitMethodTag {};
template <class A, class... P>
struct ConstructorTag {};
template <class A, class... P>
struct MemberTag {};  // The constructor of a group's member.

// What a worker keeps of an actor: the object, behind the type that it was made as.
struct Instance {
  explicit Instance(const std::type_info& of) : type(&of) {}
  const std::type_info* type;
};
template <class A>
struct InstanceOf : Instance {
  template <class... P>
  explicit InstanceOf(P&&... arguments) : Instance(typeid(A)), value(std::forward<P>(arguments)...) {}
  A value;
};
// Throws InvalidArgument when the actor is of another class, as a handle from a name may be.
void* check_instance(Invocation& invocation, const std::type_info& wanted);
template <class A>
A& instance_of(Invocation& invocation) {
  return static_cast<InstanceOf<A>*>(static_cast<Instance*>(check_instance(invocation, typeid(A))))->value;
}

template <class A>
A& value_of(void* instance) {
  return static_cast<InstanceOf<A>*>(static_cast<Instance*>(instance))->value;
}
// By the save(Archive&) and load(Archive&) of the class, where it has them.
template <class A>
runtime::Persistence persistence_of() {
  runtime::Persistence out;
  if constexpr (SavesState<A>) {
    out.save = [](void* instance, base::Buffer& to) {
      return guard_state("save", [&] {
        Archive ar(to);
        value_of<A>(instance).save(ar);
      });
    };
  }
  if constexpr (LoadsState<A>) {
    out.load = [](void* instance, base::ConstBytes from) {
      return guard_state("load", [&] {
        Archive ar(from);
        value_of<A>(instance).load(ar);
      });
    };
  }
  return out;
}

template <class Tag, class A, auto M, class Results, class R, class... P>
struct MethodFunction {
  struct Callee {
    A* actor;
    R operator()(P&&... arguments) const { return (actor->*M)(std::forward<P>(arguments)...); }
  };
  static void body(Invocation& invocation) {
    run_call<Results, Callee, R, P...>(invocation, entry(), Callee{&instance_of<A>(invocation)});
  }
  static const FunctionEntry* entry() { return Registered<Tag, FunctionKind::kMethod, &body>::entry; }
};

template <class A, class... P>
void construct(Invocation& invocation, P&&... arguments) {
  invocation.set_instance(
      std::static_pointer_cast<Instance>(std::make_shared<InstanceOf<A>>(std::forward<P>(arguments)...)),
      persistence_of<A>());
}

template <class A, class... P>
struct ConstructorFunction {
  static void body(Invocation& invocation) {
    ArgumentReader reader(invocation, sizeof...(P));
    ArgumentsOf<P...> arguments(reader);
    if (!reader.ok()) return;
    if constexpr (std::constructible_from<A, P...>) {
      arguments.apply([&](P&&... p) { construct<A>(invocation, std::forward<P>(p)...); });
    }
    deliver_void(invocation);
  }
  static const FunctionEntry* entry() {
    return Registered<ConstructorTag<A, P...>, FunctionKind::kConstructor, &body>::entry;
  }
};

// The type in which a constructor's argument travels: text as std::string, a Ref as what it refers to.
template <class X>
struct TravelsAs {
  using type = std::decay_t<X>;
};
template <class X>
requires(std::convertible_to<X, std::string_view> &&
         !std::is_same_v<std::decay_t<X>, std::string>) struct TravelsAs<X> {
  using type = std::string;
};
template <class T>
struct TravelsAs<Ref<T>> {
  using type = T;
};
template <class X>
using ConstructorArgument = typename TravelsAs<std::remove_cvref_t<X>>::type;

template <class A, class... P>
struct ConstructedFrom {
  static constexpr bool value = std::constructible_from<A, P...>;
  static_assert(value, "mobula: this class has no constructor that takes these arguments");
};
template <class A, class... X>
void check_constructor() {
  static_cast<void>(sizeof(ConstructedFrom<A, ConstructorArgument<X>...>));
  (static_cast<void>(sizeof(Travels<ConstructorArgument<X>>)), ...);
}

// method(...) on a handle whose class is A.
template <class A, auto M, class Signature, template <class> class Returns>
struct MethodCall;
template <class A, auto M, class R, class... P, template <class> class Returns>
struct MethodCall<A, M, R(P...), Returns> {
  using Shape = Returns<Result<R>>;
  using Tag = std::conditional_t<std::is_same_v<Returns<int>, Split<int>>, SplitMethodTag<M, A>, MethodTag<M, A>>;
  using Function = MethodFunction<Tag, A, M, typename Shape::Results, R, P...>;
};

}  // namespace detail

// A method bound to an actor: handle.at<&C::m>() gives one.
template <class A, auto M, class Signature = detail::Signature<M>, template <class> class Returns = detail::Whole>
class BoundMethod;

template <class A, auto M, class R, class... P, template <class> class Returns>
class BoundMethod<A, M, R(P...), Returns> {
  using Call = detail::MethodCall<A, M, R(P...), Returns>;

 public:
  explicit BoundMethod(runtime::ActorRef actor) : actor_(std::move(actor)) {}
  BoundMethod<A, M, R(P...), detail::Split> split() const { return BoundMethod<A, M, R(P...), detail::Split>(actor_); }
  [[nodiscard]] typename Call::Shape::type operator()(Arg<std::decay_t<P>>... arguments) const {
    detail::check_signature<R, P...>();
    return detail::submit_call<typename Call::Shape>(actor_, *Call::Function::entry(), arguments...);
  }

 private:
  runtime::ActorRef actor_;
};

// A counted handle to an actor of class A.  The actor ends when the last handle in any process is gone, unless it is
// detached.  Handles copy, travel inside values, and may be used by any thread; the calls of one caller run in order.
// Without handles it runs the calls that were made before, and its destructor runs.  At the end of the session the
// destructor runs, for 3 s at most, where no call does; an actor that is killed is not destroyed.
template <class A>
class ActorHandle {
 public:
  ActorHandle() = default;
  explicit ActorHandle(runtime::ActorRef actor) : actor_(std::move(actor)) {}

  template <auto M>
  BoundMethod<A, M> at() const {
    return BoundMethod<A, M>(actor_);
  }
  explicit operator bool() const { return static_cast<bool>(actor_); }
  const runtime::ActorRef& actor() const { return actor_; }

 private:
  runtime::ActorRef actor_;
};

namespace detail {
template <class A>
inline constexpr bool kSpecialised<ActorHandle<A>> = true;
template <class A>
struct Codec<ActorHandle<A>> {
  static void encode(Encoder& out, const ActorHandle<A>& v) {
    out.put(static_cast<std::uint8_t>(static_cast<bool>(v)));
    if (v) out.actor(v.actor());
  }
  static ActorHandle<A> decode(Decoder& in) {
    if (in.get<std::uint8_t>() == 0) return {};
    return ActorHandle<A>(in.actor());
  }
};
}  // namespace detail

// method<&C::m>(handle, arguments...) calls a method and returns a Ref to its result at once.
template <auto M, class Signature = detail::Signature<M>, template <class> class Returns = detail::Whole>
class Method;

template <auto M, class R, class... P, template <class> class Returns>
class Method<M, R(P...), Returns> {
  using A = detail::ClassOf<M>;
  using Call = detail::MethodCall<A, M, R(P...), Returns>;

 public:
  constexpr Method<M, R(P...), detail::Split> split() const { return {}; }
  [[nodiscard]] typename Call::Shape::type operator()(const ActorHandle<A>& handle,
                                                      Arg<std::decay_t<P>>... arguments) const {
    detail::check_signature<R, P...>();
    return detail::submit_call<typename Call::Shape>(handle.actor(), *Call::Function::entry(), arguments...);
  }
};
template <auto M>
inline constexpr Method<M> method{};

// actor<C>(arguments...) starts a process that makes a C and answers calls to it; returns at once.  What its
// constructor throws is the error of every call.  actor<C>.with({...}) takes ActorOptions.
template <class A>
class ActorFactory {
 public:
  constexpr ActorFactory() = default;
  ActorFactory with(ActorOptions options) const { return ActorFactory(detail::copy_options(options)); }

  template <class... X>
  [[nodiscard]] ActorHandle<A> operator()(const X&... arguments) const {
    detail::check_constructor<A, X...>();
    runtime::Arguments out;
    (Arg<detail::ConstructorArgument<X>>(arguments).add_to(out), ...);
    const auto* entry = detail::ConstructorFunction<A, detail::ConstructorArgument<X>...>::entry();
    return ActorHandle<A>(detail::create_actor(*entry, options(), std::move(out)));
  }

 private:
  explicit ActorFactory(std::shared_ptr<const runtime::ActorSpecOptions> options) : options_(std::move(options)) {}
  runtime::ActorSpecOptions options() const { return options_ ? *options_ : runtime::ActorSpecOptions{}; }

  std::shared_ptr<const runtime::ActorSpecOptions> options_;
};
template <class A>
inline const ActorFactory<A> actor{};

// The actor of that name in the namespace (empty: the job's own).  Waits for one that is being made; throws
// InvalidArgument when there is none.
runtime::ActorRef get_actor_ref(std::string_view name, std::string_view ns);
template <class A>
[[nodiscard]] ActorHandle<A> get_actor(std::string_view name, std::string_view ns = {}) {
  return ActorHandle<A>(get_actor_ref(name, ns));
}

}  // namespace mobula

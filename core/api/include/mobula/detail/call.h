#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mobula/detail/invoke.h"

namespace mobula::detail {

// The caller's side of a call.

// Options copied out of the user's views; equal ones share one slot, which is never freed.  Null: the defaults.
struct TaskOptionsSlot;
const TaskOptionsSlot* copy_options(const TaskOptions& options);
std::shared_ptr<const runtime::ActorSpecOptions> copy_options(const ActorOptions& options);

void submit(const FunctionEntry& function, const TaskOptionsSlot* options, runtime::Arguments&& arguments,
            std::span<ObjectRef> out);
void call_method(const runtime::ActorRef& actor, const FunctionEntry& method, runtime::Arguments&& arguments,
                 std::span<ObjectRef> out);
runtime::ActorRef create_actor(const FunctionEntry& constructor, const runtime::ActorSpecOptions& options,
                               runtime::Arguments&& arguments);

// Instantiated for each parameter and result of what is called remotely; the sentences are its static_asserts.
template <class P>
struct CheckParameter {
  static_assert(!std::is_lvalue_reference_v<P> || std::is_const_v<std::remove_reference_t<P>>,
                "mobula: a remote function cannot take T&, what it changes would stay in another process; take T or "
                "const T& and return the result");
};
template <class R>
using CheckedResult = std::conditional_t<std::is_void_v<Result<R>>, int, Result<R>>;

template <class R, class... P>
void check_signature() {
  (static_cast<void>(sizeof(CheckParameter<P>)), ...);
  (static_cast<void>(sizeof(Travels<std::decay_t<P>>)), ...);
  static_cast<void>(sizeof(Travels<CheckedResult<R>>));
}

// What a call returns: one Ref, or one for each element of a tuple.
template <class R>
struct Whole {
  using Results = WholeResult;
  using type = Ref<R>;
  static constexpr std::size_t count = 1;
  static type make(std::span<ObjectRef> refs) { return type(std::move(refs[0])); }
};
template <class R>
struct Split {
  static_assert(kIs<R, std::tuple>, "mobula: split() wants a function that returns a std::tuple");
};
template <class... T>
struct Split<std::tuple<T...>> {
  using Results = SplitResult;
  using type = std::tuple<Ref<T>...>;
  static constexpr std::size_t count = sizeof...(T);
  static type make(std::span<ObjectRef> refs) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return type(Ref<T>(std::move(refs[I]))...); }
    (std::index_sequence_for<T...>{});
  }
};

template <class Returns, class... A>
typename Returns::type submit_task(const FunctionEntry& function, const TaskOptionsSlot* options, const A&... args) {
  runtime::Arguments arguments;
  (args.add_to(arguments), ...);
  ObjectRef refs[Returns::count];
  submit(function, options, std::move(arguments), refs);
  return Returns::make(refs);
}
template <class Returns, class... A>
typename Returns::type submit_call(const runtime::ActorRef& actor, const FunctionEntry& method, const A&... args) {
  runtime::Arguments arguments;
  (args.add_to(arguments), ...);
  ObjectRef refs[Returns::count];
  call_method(actor, method, std::move(arguments), refs);
  return Returns::make(refs);
}

}  // namespace mobula::detail

#pragma once

#include <type_traits>
#include <utility>

#include "mobula/detail/call.h"

namespace mobula {

namespace detail {

template <auto F>
struct FunctionTag {};
template <auto F>
struct SplitTag {};

template <class Tag, auto F, class Results, class R, class... P>
struct TaskFunction {
  struct Callee {
    R operator()(P&&... arguments) const { return F(std::forward<P>(arguments)...); }
  };
  static void body(Invocation& invocation) { run_call<Results, Callee, R, P...>(invocation, entry(), Callee{}); }
  static const FunctionEntry* entry() { return Registered<Tag, FunctionKind::kTask, &body>::entry; }
};

}  // namespace detail

// A function that runs elsewhere: remote<&f>(arguments...) submits a task and returns a Ref to its result at once.
// Immutable; any thread.
//
//   remote<&f>(1, "x")                        arguments are copied; a Ref stands for its value
//   remote<&f>.with({.cpus = 2})(1, "x")      options: TaskOptions
//   auto [a, b] = remote<&f>.split()(1)       f returns std::tuple<A, B>: a Ref to each, instead of one to all
//   remote<[](int x) { return x + 1; }>(1)    a lambda that captures nothing
//   remote<overload<int(int)>(&f)>(1)         one of several functions of a name
template <auto F, class Signature = detail::Signature<F>, template <class> class Returns = detail::Whole>
class RemoteFunction;

template <auto F, class R, class... P, template <class> class Returns>
class RemoteFunction<F, R(P...), Returns> {
  using Shape = Returns<detail::Result<R>>;
  static constexpr bool kSplit = std::is_same_v<Returns<int>, detail::Split<int>>;
  using Tag = std::conditional_t<kSplit, detail::SplitTag<F>, detail::FunctionTag<F>>;

 public:
  constexpr RemoteFunction() = default;

  RemoteFunction with(TaskOptions options) const { return RemoteFunction(detail::copy_options(options)); }
  constexpr RemoteFunction<F, R(P...), detail::Split> split() const {
    return RemoteFunction<F, R(P...), detail::Split>(options_);
  }

  [[nodiscard]] typename Shape::type operator()(Arg<std::decay_t<P>>... arguments) const {
    detail::check_signature<R, P...>();
    using Function = detail::TaskFunction<Tag, F, typename Shape::Results, R, P...>;
    return detail::submit_task<Shape>(*Function::entry(), options_, arguments...);
  }

 private:
  template <auto, class, template <class> class>
  friend class RemoteFunction;
  explicit constexpr RemoteFunction(const detail::TaskOptionsSlot* options) : options_(options) {}

  const detail::TaskOptionsSlot* options_ = nullptr;
};

template <auto F>
inline constexpr RemoteFunction<F> remote{};

}  // namespace mobula

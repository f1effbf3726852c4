#pragma once

#include <type_traits>

#include "mobula/detail/fields.h"

namespace mobula {

template <class T>
class Task;

namespace detail {

// R(P...) of a function, a method or a captureless lambda, and the class of a method.
template <class F>
struct SignatureOf;

#define MOBULA_SIGNATURE(QUALIFIERS)              \
  template <class R, class C, class... P>         \
  struct SignatureOf<R (C::*)(P...) QUALIFIERS> { \
    using type = R(P...);                         \
    using Class = C;                              \
  };
MOBULA_SIGNATURE()
MOBULA_SIGNATURE(const)
MOBULA_SIGNATURE(noexcept)
MOBULA_SIGNATURE(const noexcept)
MOBULA_SIGNATURE(&)
MOBULA_SIGNATURE(const&)
MOBULA_SIGNATURE(&noexcept)
MOBULA_SIGNATURE(const& noexcept)
#undef MOBULA_SIGNATURE

template <class R, class... P>
struct SignatureOf<R (*)(P...)> {
  using type = R(P...);
};
template <class R, class... P>
struct SignatureOf<R (*)(P...) noexcept> {
  using type = R(P...);
};
template <class F>
requires requires { &F::operator(); }
struct SignatureOf<F> : SignatureOf<decltype(&F::operator())> {};

template <auto F>
using Signature = typename SignatureOf<std::remove_cvref_t<decltype(F)>>::type;
template <auto M>
using ClassOf = typename SignatureOf<std::remove_cvref_t<decltype(M)>>::Class;

template <class R>
struct ResultOf {
  using type = std::remove_cvref_t<R>;
};
template <class R>
struct ResultOf<Task<R>> {
  using type = R;
};
template <class R>
using Result = typename ResultOf<R>::type;  // What the caller gets a Ref to.
template <class R>
inline constexpr bool kIsTask = false;
template <class R>
inline constexpr bool kIsTask<Task<R>> = true;

}  // namespace detail

// Chooses one of several functions of a name: overload<int(int)>(&f), overload<int(int)>(&Counter::add),
// overload<int() const>(&Counter::get).
template <class Signature>
struct Overload;
template <class R, class... P>
struct Overload<R(P...)> {
  constexpr auto operator()(R (*f)(P...)) const { return f; }
  template <class C>
  constexpr auto operator()(R (C::*f)(P...)) const {
    return f;
  }
  template <class C>
  constexpr auto operator()(R (C::*f)(P...) const) const {
    return f;
  }
};
template <class R, class... P>
struct Overload<R(P...) const> {
  template <class C>
  constexpr auto operator()(R (C::*f)(P...) const) const {
    return f;
  }
};
template <class Signature>
inline constexpr Overload<Signature> overload{};

}  // namespace mobula

#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace mobula::detail {

// Fields of an aggregate, counted by how many initialisers it takes and reached through structured bindings.

inline constexpr std::size_t kFieldsMax = 24;

template <class T>
struct AnyField {  // Becomes whatever a field wants, but never a base class of T.
  template <class U>
  requires(!std::is_base_of_v<U, T>) operator U() const;
};
template <class T>
struct AnyBase {
  template <class U>
  requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>) operator U() const;
};

// The largest number of initialisers that T takes; kFieldsMax + 1 for more, or for none.  Numbers below the first that
// does leave out a field without a default.
template <class T, bool kTaken, class... Fields>
consteval std::size_t count_initialisers() {
  if constexpr (sizeof...(Fields) > kFieldsMax + 1) {
    return kFieldsMax + 1;
  } else if constexpr (requires { T{Fields{}...}; }) {
    return count_initialisers<T, true, Fields..., AnyField<T>>();
  } else if constexpr (kTaken) {
    return sizeof...(Fields) - 1;
  } else {
    return count_initialisers<T, false, Fields..., AnyField<T>>();
  }
}
template <class T>
inline constexpr std::size_t kFieldCount = count_initialisers<T, false>();

template <class T, std::size_t>
using FieldAt = AnyField<T>;

// A C array takes as many initialisers as it has elements (brace elision), which spoils the count.  Where one begins,
// two initialisers in braces stand for all of its places; where a class is, for one.
template <class T, std::size_t... Before, std::size_t... After>
consteval bool array_at(std::index_sequence<Before...>, std::index_sequence<After...>) {
  using A = AnyField<T>;
  constexpr bool taken = requires { T{FieldAt<T, Before>{}..., {A{}, A{}}}; };
  constexpr bool one_place = requires { T{FieldAt<T, Before>{}..., {A{}, A{}}, FieldAt<T, After>{}...}; };
  return taken && !one_place;
}
template <class T, std::size_t... I>
consteval bool any_array(std::index_sequence<I...>) {
  constexpr std::size_t n = sizeof...(I);
  return (array_at<T>(std::make_index_sequence<I>{}, std::make_index_sequence<n - I - 1>{}) || ...);
}
template <class T>
consteval bool has_array_field() {
  if constexpr (kFieldCount<T> >= 2 && kFieldCount<T> <= kFieldsMax) {
    return any_array<T>(std::make_index_sequence<kFieldCount<T>>{});
  } else {
    return false;
  }
}

template <class T>
concept Fielded = std::is_aggregate_v<T> && std::is_class_v<T> && !requires {
  T{AnyBase<T>{}};
}
&&(kFieldCount<T> <= kFieldsMax) && !has_array_field<T>();

// Calls f(field...) with references to the fields of `v` in order.
template <class V, class F>
decltype(auto) with_fields(V& v, F&& f) {
  constexpr std::size_t n = kFieldCount<std::remove_const_t<V>>;
  if constexpr (n == 0) {
    return f();
  } else if constexpr (n == 1) {
    auto& [m0] = v;
    return f(m0);
  } else if constexpr (n == 2) {
    auto& [m0, m1] = v;
    return f(m0, m1);
  } else if constexpr (n == 3) {
    auto& [m0, m1, m2] = v;
    return f(m0, m1, m2);
  } else if constexpr (n == 4) {
    auto& [m0, m1, m2, m3] = v;
    return f(m0, m1, m2, m3);
  } else if constexpr (n == 5) {
    auto& [m0, m1, m2, m3, m4] = v;
    return f(m0, m1, m2, m3, m4);
  } else if constexpr (n == 6) {
    auto& [m0, m1, m2, m3, m4, m5] = v;
    return f(m0, m1, m2, m3, m4, m5);
  } else if constexpr (n == 7) {
    auto& [m0, m1, m2, m3, m4, m5, m6] = v;
    return f(m0, m1, m2, m3, m4, m5, m6);
  } else if constexpr (n == 8) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7);
  } else if constexpr (n == 9) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8);
  } else if constexpr (n == 10) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9);
  } else if constexpr (n == 11) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10);
  } else if constexpr (n == 12) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11);
  } else if constexpr (n == 13) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12);
  } else if constexpr (n == 14) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13);
  } else if constexpr (n == 15) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14);
  } else if constexpr (n == 16) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15);
  } else if constexpr (n == 17) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16);
  } else if constexpr (n == 18) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17);
  } else if constexpr (n == 19) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18);
  } else if constexpr (n == 20) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19);
  } else if constexpr (n == 21) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20);
  } else if constexpr (n == 22) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21);
  } else if constexpr (n == 23) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22);
  } else if constexpr (n == 24) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22,
           m23] = v;
    return f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22,
             m23);
  }
}

template <class... T>
struct TypeList {};
struct ListTypes {
  template <class... F>
  TypeList<F...> operator()(F&...) const {
    return {};
  }
};
template <class T>
using FieldTypes = decltype(with_fields(std::declval<T&>(), ListTypes{}));

}  // namespace mobula::detail

#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include "mobula/detail/fields.h"

namespace mobula {
class Writer;
class Reader;
}  // namespace mobula

namespace mobula::detail {

// Which types can travel to another process, and the sentence for each that cannot.

template <class T, template <class...> class Template>
inline constexpr bool kIs = false;
template <template <class...> class Template, class... A>
inline constexpr bool kIs<Template<A...>, Template> = true;

template <class T>
inline constexpr bool kIsView = kIs<T, std::reference_wrapper> || kIs<T, std::basic_string_view>;
template <class T, std::size_t N>
inline constexpr bool kIsView<std::span<T, N>> = true;

// Compilers call closure types "<lambda" (g++) or "(lambda at" (clang); nothing else tells them from classes.
template <class T>
consteval bool is_closure() {
  const std::string_view name = __PRETTY_FUNCTION__;
  return std::is_class_v<T> && (name.find("<lambda") != name.npos || name.find("(lambda at") != name.npos) && requires {
    &T::operator();
  };
}

template <class T>
concept MemberHook = requires(T& v, Writer& w) {
  v.serialize(w);
};
template <class T>
concept FreeHook = requires(T& v, Writer& w) {
  serialize(w, v);
};
template <class T>
concept Hooked = std::is_class_v<T> &&(MemberHook<T> || FreeHook<T>);

// What grows element by element and can be filled again.
template <class T>
concept Container = std::default_initializable<T> && requires(T& c, const T& k, typename T::value_type v) {
  k.begin();
  k.end();
  { k.size() } -> std::convertible_to<std::size_t>;
  c.insert(c.end(), std::move(v));
};

// A trivially copyable aggregate may hide a pointer among its fields; this looks one level deep.
template <class T>
struct AnyButPointer {
  template <class U>
  requires(!std::is_base_of_v<U, T> && !std::is_pointer_v<U> && !kIsView<U>) operator U() const;
};
template <class T, std::size_t>
using ButPointerAt = AnyButPointer<T>;
template <class T, std::size_t... I>
consteval bool takes_no_pointer(std::index_sequence<I...>) {
  return requires { T{ButPointerAt<T, I>{}...}; };
}
template <class T>
consteval bool hides_pointer() {
  if constexpr (std::is_aggregate_v<T> && std::is_class_v<T>) {
    if constexpr (kFieldCount<T> <= kFieldsMax) {
      return !takes_no_pointer<T>(std::make_index_sequence<kFieldCount<T>>{});
    }
  }
  return false;
}

template <class T>
inline constexpr bool kSpecialised = false;  // True for types whose Codec is written out.

template <class T>
inline constexpr bool kOwnsNothing = std::is_pointer_v<T> || std::is_member_pointer_v<T> || kIsView<T>;

template <class T>
concept AsBytes = std::is_trivially_copyable_v<T> && !kOwnsNothing<T> && !std::is_null_pointer_v<T>;

template <class T>
concept Portable = !kOwnsNothing<T> && (kSpecialised<T> || Hooked<T> || Container<T> || AsBytes<T> || Fielded<T>);

// Instantiated for each type that travels.
template <class T>
struct Travels {
  static constexpr bool closure = is_closure<T>() && !std::is_empty_v<T>;
  static constexpr bool shared = kIs<T, std::shared_ptr> || kIs<T, std::weak_ptr>;
  static_assert(
      !std::is_pointer_v<T> && !std::is_member_pointer_v<T>,
      "mobula: a pointer cannot travel to another process; pass the value, a Ref, an Array or an ActorHandle");
  static_assert(!kIsView<T>,
                "mobula: a view (span, string_view, reference_wrapper) cannot travel, it does not own what it shows; "
                "pass a std::vector, a std::string or a mobula::Array");
  static_assert(!closure, "mobula: a lambda that captures cannot travel; pass what it captures as arguments");
  static_assert(!shared,
                "mobula: a shared_ptr cannot travel, nothing is shared between processes; pass the value or a Ref");
  static constexpr bool hides = AsBytes<T> && !kSpecialised<T> && !Hooked<T> && !closure && hides_pointer<T>();
  static_assert(!hides,
                "mobula: a struct with a pointer or a view among its fields cannot travel; hold the value, or write "
                "template <class Ar> void serialize(Ar& ar)");
  static_assert(Portable<T> || kOwnsNothing<T> || shared || closure,
                "mobula: this type cannot travel: it is neither trivially copyable, nor a standard container, nor an "
                "aggregate of at most 24 fields without bases and C arrays; write template <class Ar> void "
                "serialize(Ar& ar) { ar(a, b); }");
  static constexpr bool value = Portable<T> && !closure && !shared && !hides;
};

}  // namespace mobula::detail

#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/worker/codec.h"
#include "mobula/detail/portable.h"

// How values travel.
//
// Without a word from you: trivially copyable types, the standard containers, strings, pairs, tuples, optional,
// variant, unique_ptr, Ref, Array, ActorHandle, and aggregates of such with up to 24 fields.  Any other class says it
// once, for both directions, and is default constructible:
//
//   struct Model {
//     template <class Ar>
//     void serialize(Ar& ar) { ar(weights_, step_); }      // or, outside: void serialize(Ar& ar, Model& m)
//   };
//
// `Ar::reading` tells the directions apart.  Long contiguous data (4 KiB and more of trivially copyable elements) is
// not copied into the message but stands beside it.
namespace mobula {

namespace detail {

using runtime::Decoder;
using runtime::Encoder;

template <class T>
struct Codec;

template <class T>
void encode(Encoder& out, const T& value) {
  Codec<T>::encode(out, value);
}
template <class T>
T decode(Decoder& in) {
  return Codec<T>::decode(in);
}

}  // namespace detail

class Writer {
 public:
  static constexpr bool reading = false;
  explicit Writer(runtime::Encoder& out) : out_(out) {}
  template <class... T>
  Writer& operator()(const T&... values) {
    (detail::encode(out_, values), ...);
    return *this;
  }

 private:
  runtime::Encoder& out_;
};

class Reader {
 public:
  static constexpr bool reading = true;
  explicit Reader(runtime::Decoder& in) : in_(in) {}
  template <class... T>
  Reader& operator()(T&... values) {
    ((values = detail::decode<T>(in_)), ...);
    return *this;
  }

 private:
  runtime::Decoder& in_;
};

namespace detail {

// Contiguous bytes: u64 length whose top bit says that they stand beside the stream.
void encode_block(Encoder& out, const void* data, std::size_t bytes);
// The bytes, in place; empty and !ok() when they are not there or are no multiple of `unit`.
base::ConstBytes decode_block(Decoder& in, std::size_t unit);
// A count of elements, each of which takes a byte or more; 0 and !ok() when they cannot be there.
std::size_t decode_count(Decoder& in);

template <class T>
T zero_of() {
  return std::bit_cast<T>(std::array<std::byte, sizeof(T)>{});
}

template <class T>
struct Codec {
  static void encode(Encoder& out, const T& v) {
    if constexpr (!Travels<T>::value) {
      static_cast<void>(out);
    } else if constexpr (Hooked<T>) {
      out.put(std::uint8_t{1});  // Each element of a container takes a byte at least.
      Writer w(out);
      if constexpr (MemberHook<T>) {
        const_cast<T&>(v).serialize(w);
      } else {
        serialize(w, const_cast<T&>(v));
      }
    } else if constexpr (Container<T>) {
      out.put(static_cast<std::uint64_t>(v.size()));
      for (const auto& element : v) detail::encode(out, element);
    } else if constexpr (AsBytes<T>) {
      out.put(v);
    } else if constexpr (std::is_empty_v<T>) {
      out.put(std::uint8_t{1});
    } else {
      with_fields(v, [&](const auto&... field) { (detail::encode(out, field), ...); });
    }
  }

  static T decode(Decoder& in) {
    if constexpr (!Travels<T>::value) {
      __builtin_unreachable();  // Travels has said why.
    } else if constexpr (Hooked<T>) {
      T v{};
      in.get<std::uint8_t>();
      Reader r(in);
      if constexpr (MemberHook<T>) {
        v.serialize(r);
      } else {
        serialize(r, v);
      }
      return v;
    } else if constexpr (Container<T>) {
      return decode_container(in);
    } else if constexpr (std::is_same_v<T, bool>) {
      return in.get<std::uint8_t>() != 0;
    } else if constexpr (AsBytes<T>) {
      std::array<std::byte, sizeof(T)> bytes{};
      in.raw(bytes.data(), sizeof(T));
      return std::bit_cast<T>(bytes);
    } else if constexpr (std::is_empty_v<T>) {
      in.get<std::uint8_t>();
      return T{};
    } else {
      return decode_fields(in, FieldTypes<T>{});
    }
  }

 private:
  template <class... F>
  static T decode_fields(Decoder& in, TypeList<F...>) {
    return T{detail::decode<std::remove_const_t<F>>(in)...};  // Braces: in the order of the fields.
  }
  static T decode_container(Decoder& in) {
    T v{};
    for (std::size_t n = decode_count(in); n != 0 && in.ok(); --n) {
      if constexpr (requires { typename T::mapped_type; }) {
        auto key = detail::decode<typename T::key_type>(in);
        v.emplace_hint(v.end(), std::move(key), detail::decode<typename T::mapped_type>(in));
      } else {
        v.insert(v.end(), detail::decode<typename T::value_type>(in));
      }
    }
    return v;
  }
};

template <class C, class Traits, class A>
inline constexpr bool kSpecialised<std::basic_string<C, Traits, A>> = true;
template <class C, class Traits, class A>
struct Codec<std::basic_string<C, Traits, A>> {
  static void encode(Encoder& out, const std::basic_string<C, Traits, A>& v) {
    encode_block(out, v.data(), v.size() * sizeof(C));
  }
  static std::basic_string<C, Traits, A> decode(Decoder& in) {
    const base::ConstBytes b = decode_block(in, sizeof(C));
    std::basic_string<C, Traits, A> v(b.size() / sizeof(C), C{});
    if (!b.empty()) std::memcpy(v.data(), b.data(), b.size());
    return v;
  }
};

template <class T, class A>
inline constexpr bool kSpecialised<std::vector<T, A>> = true;
template <class T, class A>
struct Codec<std::vector<T, A>> {
  static constexpr bool block = AsBytes<T> && !std::is_same_v<T, bool> && !Hooked<T>;
  static void encode(Encoder& out, const std::vector<T, A>& v) {
    if constexpr (block && Travels<T>::value) {
      encode_block(out, v.data(), v.size() * sizeof(T));
    } else if constexpr (std::is_same_v<T, bool>) {
      out.put(static_cast<std::uint64_t>(v.size()));
      for (const bool b : v) out.put(static_cast<std::uint8_t>(b));
    } else if constexpr (Travels<T>::value) {
      out.put(static_cast<std::uint64_t>(v.size()));
      for (const T& element : v) detail::encode(out, element);
    }
  }
  static std::vector<T, A> decode(Decoder& in) {
    std::vector<T, A> v;
    if constexpr (block && std::is_default_constructible_v<T>) {
      const base::ConstBytes b = decode_block(in, sizeof(T));
      v.resize(b.size() / sizeof(T));
      if (!b.empty()) std::memcpy(static_cast<void*>(v.data()), b.data(), b.size());
    } else if constexpr (block) {
      const base::ConstBytes b = decode_block(in, sizeof(T));
      v.reserve(b.size() / sizeof(T));
      for (std::size_t at = 0; at < b.size(); at += sizeof(T)) {
        std::array<std::byte, sizeof(T)> bytes;
        std::memcpy(bytes.data(), b.data() + at, sizeof(T));
        v.push_back(std::bit_cast<T>(bytes));
      }
    } else {
      std::size_t n = decode_count(in);
      if (n * sizeof(T) <= in.left()) v.reserve(n);
      for (; n != 0 && in.ok(); --n) v.push_back(detail::decode<T>(in));
    }
    return v;
  }
};

template <class T, std::size_t N>
requires(!std::is_trivially_copyable_v<T>) inline constexpr bool kSpecialised<std::array<T, N>> = true;
template <class T, std::size_t N>
requires(!std::is_trivially_copyable_v<T>) struct Codec<std::array<T, N>> {
  static void encode(Encoder& out, const std::array<T, N>& v) {
    for (const T& element : v) detail::encode(out, element);
  }
  static std::array<T, N> decode(Decoder& in) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<T, N>{((void)I, detail::decode<T>(in))...};
    }
    (std::make_index_sequence<N>{});
  }
};

template <class A, class B>
inline constexpr bool kSpecialised<std::pair<A, B>> = true;
template <class A, class B>
struct Codec<std::pair<A, B>> {
  static void encode(Encoder& out, const std::pair<A, B>& v) {
    detail::encode(out, v.first);
    detail::encode(out, v.second);
  }
  static std::pair<A, B> decode(Decoder& in) {
    using Pair = std::pair<A, B>;
    return Pair{detail::decode<std::remove_const_t<A>>(in), detail::decode<B>(in)};
  }
};
template <class A, class B>
struct Codec<std::pair<const A, B>> {
  static void encode(Encoder& out, const std::pair<const A, B>& v) {
    detail::encode(out, v.first);
    detail::encode(out, v.second);
  }
  static std::pair<const A, B> decode(Decoder& in) {
    return std::pair<const A, B>{detail::decode<A>(in), detail::decode<B>(in)};
  }
};

template <class... T>
inline constexpr bool kSpecialised<std::tuple<T...>> = true;
template <class... T>
struct Codec<std::tuple<T...>> {
  static void encode(Encoder& out, const std::tuple<T...>& v) {
    if constexpr (sizeof...(T) == 0) out.put(std::uint8_t{1});
    std::apply([&](const T&... element) { (detail::encode(out, element), ...); }, v);
  }
  static std::tuple<T...> decode(Decoder& in) {
    if constexpr (sizeof...(T) == 0) in.get<std::uint8_t>();
    return std::tuple<T...>{detail::decode<T>(in)...};
  }
};

template <class T>
inline constexpr bool kSpecialised<std::optional<T>> = true;
template <class T>
struct Codec<std::optional<T>> {
  static void encode(Encoder& out, const std::optional<T>& v) {
    out.put(static_cast<std::uint8_t>(v.has_value()));
    if (v) detail::encode(out, *v);
  }
  static std::optional<T> decode(Decoder& in) {
    if (in.get<std::uint8_t>() == 0) return std::nullopt;
    return std::optional<T>{detail::decode<T>(in)};
  }
};

template <class T>
inline constexpr bool kSpecialised<std::unique_ptr<T>> = true;
template <class T>
struct Codec<std::unique_ptr<T>> {
  static_assert(!std::is_polymorphic_v<T>,
                "mobula: a unique_ptr to a polymorphic class cannot travel, the receiver could not know which class");
  static void encode(Encoder& out, const std::unique_ptr<T>& v) {
    out.put(static_cast<std::uint8_t>(v != nullptr));
    if (v) detail::encode(out, *v);
  }
  static std::unique_ptr<T> decode(Decoder& in) {
    if (in.get<std::uint8_t>() == 0) return nullptr;
    return std::make_unique<T>(detail::decode<T>(in));
  }
};

template <class... T>
inline constexpr bool kSpecialised<std::variant<T...>> = true;
template <class... T>
struct Codec<std::variant<T...>> {
  using Variant = std::variant<T...>;
  static void encode(Encoder& out, const Variant& v) {
    out.put(static_cast<std::uint8_t>(v.index()));
    std::visit([&](const auto& alternative) { detail::encode(out, alternative); }, v);
  }
  static Variant decode(Decoder& in) {
    const std::size_t index = in.get<std::uint8_t>();
    if (index >= sizeof...(T)) in.fail();
    return decode_at(in, in.ok() ? index : 0, std::index_sequence_for<T...>{});
  }

 private:
  template <std::size_t... I>
  static Variant decode_at(Decoder& in, std::size_t index, std::index_sequence<I...>) {
    using Make = Variant (*)(Decoder&);
    static constexpr Make make[] = {[](Decoder& d) {
      return Variant{std::in_place_index<I>, detail::decode<T>(d)};
    }...};
    return make[index](in);
  }
};

}  // namespace detail
}  // namespace mobula

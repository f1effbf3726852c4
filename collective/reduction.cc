#include "collective/reduction.h"

#include <array>
#include <concepts>
#include <utility>

// Compiled for speed whatever the build type: loops over restrict-free pointers that vectorise.
#pragma GCC optimize("O3")

namespace mobula::collective {
namespace {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;
template <class T>
inline constexpr bool kIsComplex = std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;

// What arithmetic is done in.  Signed integers wrap as unsigned ones do.
template <class T>
struct WorkType {
  using type = T;
};
template <std::signed_integral T>
struct WorkType<T> {
  using type = std::make_unsigned_t<T>;
};
template <>
struct WorkType<float16> {
  using type = float;
};
template <>
struct WorkType<bfloat16> {
  using type = float;
};

struct Sum {
  template <class W>
  static W of(W a, W b) {
    return static_cast<W>(a + b);
  }
};
struct Product {
  template <class W>
  static W of(W a, W b) {
    return static_cast<W>(a * b);
  }
};
struct BitAnd {
  template <class W>
  static W of(W a, W b) {
    return static_cast<W>(a & b);
  }
};
struct BitOr {
  template <class W>
  static W of(W a, W b) {
    return static_cast<W>(a | b);
  }
};
struct BitXor {
  template <class W>
  static W of(W a, W b) {
    return static_cast<W>(a ^ b);
  }
};
struct Min {
  template <class W>
  static W of(W a, W b) {
    return b < a ? b : a;
  }
};
struct Max {
  template <class W>
  static W of(W a, W b) {
    return a < b ? b : a;
  }
};

template <class T, class Op>
void apply(void* into, const void* first, const void* second, std::size_t count) {
  constexpr bool kOrdered = std::is_same_v<Op, Min> || std::is_same_v<Op, Max>;
  using W = std::conditional_t<kOrdered && std::is_integral_v<T>, T, typename WorkType<T>::type>;
  auto* to = static_cast<T*>(into);
  const auto* a = static_cast<const T*>(first);
  const auto* b = static_cast<const T*>(second);
#pragma GCC ivdep
  for (std::size_t i = 0; i < count; ++i)
    to[i] = static_cast<T>(Op::template of<W>(static_cast<W>(a[i]), static_cast<W>(b[i])));
}

template <class T>
void divide(void* into, std::size_t count, int size) {
  auto* to = static_cast<T*>(into);
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (kIsHalf<T>) {
      to[i] = T(static_cast<float>(to[i]) / static_cast<float>(size));
    } else if constexpr (kIsComplex<T>) {
      to[i] /= static_cast<typename T::value_type>(size);
    } else {
      to[i] = static_cast<T>(to[i] / static_cast<T>(size));
    }
  }
}

constexpr std::size_t kTypes = 14;
constexpr std::size_t kOps = 8;
using Table = std::array<std::array<Reduction, kOps>, kTypes>;

template <class T>
void fill(Table& table, DataType type) {
  auto& row = table[static_cast<std::size_t>(type)];
  const auto set = [&](ReduceOp op, auto function, void (*finish)(void*, std::size_t, int) = nullptr) {
    const auto id =
        static_cast<std::uint32_t>(1 + static_cast<std::size_t>(type) * kOps + static_cast<std::size_t>(op));
    row[static_cast<std::size_t>(op)] = {sizeof(T), function, finish, id};
  };
  set(ReduceOp::kSum, &apply<T, Sum>);
  set(ReduceOp::kProduct, &apply<T, Product>);
  set(ReduceOp::kAverage, &apply<T, Sum>, &divide<T>);
  if constexpr (!kIsComplex<T>) {
    set(ReduceOp::kMin, &apply<T, Min>);
    set(ReduceOp::kMax, &apply<T, Max>);
  }
  if constexpr (std::is_integral_v<T>) {
    set(ReduceOp::kBitAnd, &apply<T, BitAnd>);
    set(ReduceOp::kBitOr, &apply<T, BitOr>);
    set(ReduceOp::kBitXor, &apply<T, BitXor>);
  }
}

const Table& table() {
  static const Table made = [] {
    Table t{};
    fill<std::int8_t>(t, DataType::kInt8);
    fill<std::int16_t>(t, DataType::kInt16);
    fill<std::int32_t>(t, DataType::kInt32);
    fill<std::int64_t>(t, DataType::kInt64);
    fill<std::uint8_t>(t, DataType::kUint8);
    fill<std::uint16_t>(t, DataType::kUint16);
    fill<std::uint32_t>(t, DataType::kUint32);
    fill<std::uint64_t>(t, DataType::kUint64);
    fill<float16>(t, DataType::kFloat16);
    fill<bfloat16>(t, DataType::kBfloat16);
    fill<float>(t, DataType::kFloat32);
    fill<double>(t, DataType::kFloat64);
    fill<std::complex<float>>(t, DataType::kComplex64);
    fill<std::complex<double>>(t, DataType::kComplex128);
    return t;
  }();
  return made;
}

}  // namespace

const char* name_of(DataType type) {
  constexpr std::array kNames{"int8",   "int16",   "int32",    "int64",   "uint8",   "uint16",    "uint32",
                              "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
  return kNames.at(static_cast<std::size_t>(type));
}

const char* name_of(ReduceOp op) {
  constexpr std::array kNames{"sum", "product", "min", "max", "average", "bit_and", "bit_or", "bit_xor"};
  return kNames.at(static_cast<std::size_t>(op));
}

const Reduction* find_reduction(DataType type, ReduceOp op) {
  const Reduction& found = table().at(static_cast<std::size_t>(type)).at(static_cast<std::size_t>(op));
  return found.apply == nullptr ? nullptr : &found;
}

}  // namespace mobula::collective

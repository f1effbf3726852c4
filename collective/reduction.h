#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "collective/half.h"

namespace mobula::collective {

enum class DataType : std::uint8_t {
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat16,
  kBfloat16,
  kFloat32,
  kFloat64,
  kComplex64,
  kComplex128,
};
enum class ReduceOp : std::uint8_t { kSum, kProduct, kMin, kMax, kAverage, kBitAnd, kBitOr, kBitXor };

const char* name_of(DataType type);
const char* name_of(ReduceOp op);

// How elements are combined.  `apply` must be associative up to rounding and commutative; it is always given the lower
// rank's operand first where two ranks compute the same, so that both get the same bits.
struct Reduction {
  std::size_t element_bytes = 0;
  // into[i] = first[i] (op) second[i] for i < count; `into` is `first` or `second`, or apart from both.
  void (*apply)(void* into, const void* first, const void* second, std::size_t count) = nullptr;
  // After the last: divides by the number of ranks for kAverage; null otherwise.
  void (*finish)(void* into, std::size_t count, int size) = nullptr;
  std::uint32_t id = 0;  // The same on every rank that means the same; what mismatched calls are found by.
};

// Null where the operation means nothing for the type: bits of floating-point numbers, an order of complex ones.
const Reduction* find_reduction(DataType type, ReduceOp op);

template <class T>
inline constexpr bool kHasDataType = false;
template <class T>
inline constexpr DataType kDataTypeOf = DataType::kInt8;
#define MOBULA_DATA_TYPE(T, E)                  \
  template <>                                   \
  inline constexpr bool kHasDataType<T> = true; \
  template <>                                   \
  inline constexpr DataType kDataTypeOf<T> = DataType::E
MOBULA_DATA_TYPE(float16, kFloat16);
MOBULA_DATA_TYPE(bfloat16, kBfloat16);
MOBULA_DATA_TYPE(float, kFloat32);
MOBULA_DATA_TYPE(double, kFloat64);
MOBULA_DATA_TYPE(std::complex<float>, kComplex64);
MOBULA_DATA_TYPE(std::complex<double>, kComplex128);
#undef MOBULA_DATA_TYPE

// Integers by their width: long and long long are the same to a reduction.
template <class T>
constexpr DataType data_type_of() {
  if constexpr (std::is_integral_v<T>) {
    constexpr int kWidth = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return static_cast<DataType>(kWidth + (std::is_signed_v<T> ? 0 : 4));
  } else {
    return kDataTypeOf<T>;
  }
}
template <class T>
inline constexpr bool kIsReducible = std::is_integral_v<T> || kHasDataType<T>;

}  // namespace mobula::collective

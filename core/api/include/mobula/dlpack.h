#pragma once

#include <dlpack/dlpack.h>

#include <array>
#include <complex>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "mobula/array.h"
#include "mobula/errors.h"

// Arrays from and to other libraries without a copy (https://dmlc.github.io/dlpack).  Not part of <mobula/mobula.h>: it
// needs DLPack's header.
namespace mobula {

namespace detail {
template <class T>
constexpr DLDataType dlpack_type() {
  constexpr std::uint8_t bits = sizeof(T) * 8;
  if constexpr (std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>) {
    return {kDLComplex, bits, 1};
  } else if constexpr (std::is_floating_point_v<T>) {
    return {kDLFloat, bits, 1};
  } else if constexpr (std::is_unsigned_v<T>) {
    return {kDLUInt, bits, 1};
  } else {
    static_assert(std::is_integral_v<T>, "mobula: DLPack knows integers, floating-point and complex numbers");
    return {kDLInt, bits, 1};
  }
}

template <class T, std::size_t Rank>
struct DlpackOwner {
  DLManagedTensor tensor{};
  Array<T, Rank> array;
  std::array<std::int64_t, Rank> shape{};
  std::array<std::int64_t, Rank> strides{};
};
}  // namespace detail

// A tensor that shares the array's memory and pins it; whoever takes it calls its deleter.  It is read-only by
// agreement: DLPack before 1.0 has no flag for that.
template <class T, std::size_t Rank>
[[nodiscard]] DLManagedTensor* to_dlpack(Array<T, Rank> array) {
  auto owner = std::make_unique<detail::DlpackOwner<T, Rank>>();
  for (std::size_t d = 0; d < Rank; ++d) {
    owner->shape[d] = static_cast<std::int64_t>(array.shape()[d]);
    owner->strides[d] = static_cast<std::int64_t>(array.strides()[d]);
  }
  DLTensor& t = owner->tensor.dl_tensor;
  t.data = const_cast<void*>(static_cast<const void*>(array.data()));
  t.device = {kDLCPU, 0};
  t.ndim = static_cast<int>(Rank);
  t.dtype = detail::dlpack_type<T>();
  t.shape = owner->shape.data();
  t.strides = owner->strides.data();
  owner->array = std::move(array);
  owner->tensor.manager_ctx = owner.get();
  owner->tensor.deleter = [](DLManagedTensor* self) {
    delete static_cast<detail::DlpackOwner<T, Rank>*>(self->manager_ctx);
  };
  return &owner.release()->tensor;
}

// A read-only view of a tensor in host memory, which it takes over and deletes with the last copy of the view.  Throws
// InvalidArgument, and leaves the tensor to the caller, when it has another type, rank or device.
template <class T, std::size_t Rank = 1>
[[nodiscard]] Array<T, Rank> from_dlpack(DLManagedTensor* tensor) {
  const DLTensor& t = tensor->dl_tensor;
  constexpr DLDataType wanted = detail::dlpack_type<T>();
  if (t.device.device_type != kDLCPU) detail::throw_invalid("this DLPack tensor is not in host memory");
  if (t.ndim != static_cast<int>(Rank)) detail::throw_invalid("this DLPack tensor has another rank than the Array");
  if (t.dtype.code != wanted.code || t.dtype.bits != wanted.bits || t.dtype.lanes != 1) {
    detail::throw_invalid("this DLPack tensor has another element type than the Array");
  }
  typename Array<T, Rank>::Extents shape{}, strides{};
  for (std::size_t d = 0; d < Rank; ++d) shape[d] = static_cast<std::size_t>(t.shape[d]);
  strides = Array<T, Rank>::row_major(shape);
  for (std::size_t d = 0; d < Rank && t.strides != nullptr; ++d) {
    if (t.strides[d] < 0) detail::throw_invalid("this DLPack tensor runs backwards");
    strides[d] = static_cast<std::size_t>(t.strides[d]);
  }
  const auto* data = reinterpret_cast<const T*>(static_cast<const std::byte*>(t.data) + t.byte_offset);
  std::shared_ptr<const void> keep_alive(tensor, [](DLManagedTensor* p) {
    if (p->deleter != nullptr) p->deleter(p);
  });
  return Array<T, Rank>::view(data, shape, strides, std::move(keep_alive));
}

}  // namespace mobula

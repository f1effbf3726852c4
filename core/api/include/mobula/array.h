#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "core/worker/runtime.h"
#include "mobula/detail/invoke.h"
#include "mobula/ref.h"

namespace mobula {

namespace detail {

// The memory of an array that alloc() gave: writable until it is sealed or handed over.
struct ArrayMemory {
  std::unique_ptr<runtime::WritableObject> writable;
  ObjectRef sealed;  // Keeps the bytes for views that outlive the sealing.
  std::byte* data = nullptr;
};
std::shared_ptr<ArrayMemory> allocate_array(std::span<const std::size_t> extents, std::size_t element_bytes);
ObjectRef seal_array(ArrayMemory& memory);
[[noreturn]] void throw_not_writable();
[[noreturn]] void throw_not_contiguous();
void encode_array(Encoder& out, std::span<const std::size_t> extents, std::size_t element_bytes,
                  const std::byte* contiguous);  // Null data: the elements follow one by one.
struct DecodedArray {
  const std::byte* data = nullptr;
  std::shared_ptr<const void> keep_alive;
};
DecodedArray decode_array(Decoder& in, std::span<std::size_t> extents, std::size_t element_bytes);

}  // namespace detail

// An array of trivially copyable elements in memory that processes of a node share.
//
// From alloc(): writable through mut() until it is sealed.  From get() or as an argument: a read-only view of the
// object, without a copy, which pins it while the Array or a copy or slice of it lives.  Row-major; strides count
// elements.  Copies share the memory.
template <class T, std::size_t Rank = 1>
class Array {
  static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>,
                "mobula: the elements of an Array are trivially copyable values");

 public:
  using value_type = T;
  using Extents = std::array<std::size_t, Rank>;

  Array() = default;
  // Shows memory of somebody else, read-only, that `keep_alive` holds.
  static Array view(const T* data, const Extents& shape, const Extents& strides,
                    std::shared_ptr<const void> keep_alive) {
    Array array;
    array.data_ = data;
    array.extents_ = shape;
    array.strides_ = strides;
    array.keep_alive_ = std::move(keep_alive);
    return array;
  }

  const Extents& shape() const { return extents_; }
  const Extents& strides() const { return strides_; }
  std::size_t extent(std::size_t dimension = 0) const { return extents_[dimension]; }
  std::size_t size() const {  // Of all elements.
    std::size_t n = 1;
    for (const std::size_t e : extents_) n *= e;
    return n;
  }
  bool empty() const { return size() == 0; }
  bool contiguous() const { return strides_ == row_major(extents_); }

  const T* data() const { return data_; }
  // Throws InvalidArgument when a slice has left holes.
  std::span<const T> span() const {
    if (!contiguous()) detail::throw_not_contiguous();
    return {data_, size()};
  }
  // Throws InvalidArgument unless the memory came from alloc() and is not sealed.
  std::span<T> mut() {
    if (memory_ == nullptr || memory_->writable == nullptr) detail::throw_not_writable();
    if (!contiguous()) detail::throw_not_contiguous();
    return {const_cast<T*>(data_), size()};
  }
  bool sealed() const { return memory_ == nullptr || memory_->writable == nullptr; }

  template <std::convertible_to<std::size_t>... I>
  requires(sizeof...(I) == Rank) const T& operator()(I... index) const {  // REQUIRES: inside the shape.
    const std::size_t at[] = {static_cast<std::size_t>(index)...};
    std::size_t offset = 0;
    for (std::size_t d = 0; d < Rank; ++d) offset += at[d] * strides_[d];
    return data_[offset];
  }
  const T& operator[](std::size_t i) const requires(Rank == 1) { return data_[i * strides_[0]]; }
  const T* begin() const requires(Rank == 1) { return span().data(); }
  const T* end() const requires(Rank == 1) { return begin() + size(); }

  // Elements [begin, end) along a dimension, of the same memory.  Clamped to the shape.
  Array slice(std::size_t begin, std::size_t end, std::size_t dimension = 0) const {
    Array out = *this;
    end = end < extents_[dimension] ? end : extents_[dimension];
    begin = begin < end ? begin : end;
    out.data_ = data_ + begin * strides_[dimension];
    out.extents_[dimension] = end - begin;
    return out;
  }

  // What holds the bytes: for views handed to other libraries.
  std::shared_ptr<const void> keep_alive() const {
    return memory_ ? std::shared_ptr<const void>(memory_) : keep_alive_;
  }

  static Extents row_major(const Extents& extents) {
    Extents strides{};
    std::size_t n = 1;
    for (std::size_t d = Rank; d-- > 0; n *= extents[d]) strides[d] = n;
    return strides;
  }

 private:
  template <class U, std::size_t R>
  friend Array<U, R> alloc(const std::array<std::size_t, R>& extents);
  template <class U, std::size_t R>
  friend Ref<Array<U, R>> seal(Array<U, R> array);
  friend struct detail::Codec<Array>;
  friend struct detail::ResultTraits<Array>;

  bool whole() const {  // All of the memory that alloc() gave.
    return memory_ != nullptr && memory_->writable != nullptr && contiguous() &&
           reinterpret_cast<const std::byte*>(data_) == memory_->data && extents_ == allocated_;
  }

  const T* data_ = nullptr;
  Extents extents_{};
  Extents strides_ = row_major({});
  Extents allocated_{};
  std::shared_ptr<detail::ArrayMemory> memory_;
  std::shared_ptr<const void> keep_alive_;
};

// Uninitialised memory for an array, in the node's store when it is long.  Throws ObjectStoreFull.
template <class T, std::size_t Rank>
[[nodiscard]] Array<T, Rank> alloc(const std::array<std::size_t, Rank>& extents) {
  Array<T, Rank> array;
  array.memory_ = detail::allocate_array(extents, sizeof(T));
  array.data_ = reinterpret_cast<const T*>(array.memory_->data);
  array.extents_ = array.allocated_ = extents;
  array.strides_ = Array<T, Rank>::row_major(extents);
  return array;
}
// alloc<float>(n), alloc<float>(rows, columns), ...
template <class T, std::convertible_to<std::size_t>... N>
requires(sizeof...(N) >= 1) [[nodiscard]] Array<T, sizeof...(N)> alloc(N... extents) {
  return alloc<T>(std::array<std::size_t, sizeof...(N)>{static_cast<std::size_t>(extents)...});
}

// Publishes an array that alloc() gave, without a copy; from then on nobody can write it.  Any other array is
// copied.
template <class T, std::size_t Rank>
[[nodiscard]] Ref<Array<T, Rank>> seal(Array<T, Rank> array) {
  if (array.whole()) return Ref<Array<T, Rank>>(detail::seal_array(*array.memory_));
  runtime::Encoder out;
  detail::encode(out, array);
  return Ref<Array<T, Rank>>(detail::put_encoded(std::move(out)));
}

namespace detail {

template <class T, std::size_t R>
inline constexpr bool kSpecialised<Array<T, R>> = true;
template <class T, std::size_t R>
struct Codec<Array<T, R>> {
  static void encode(Encoder& out, const Array<T, R>& v) {
    if (v.contiguous()) {
      encode_array(out, v.shape(), sizeof(T), reinterpret_cast<const std::byte*>(v.data()));
    } else {
      encode_array(out, v.shape(), sizeof(T), nullptr);
      each_element<0>(v, 0, [&](const T& element) { out.put(element); });
    }
  }
  static Array<T, R> decode(Decoder& in) {
    Array<T, R> v;
    DecodedArray found = decode_array(in, v.extents_, sizeof(T));
    v.data_ = reinterpret_cast<const T*>(found.data);
    v.strides_ = Array<T, R>::row_major(v.extents_);
    v.keep_alive_ = std::move(found.keep_alive);
    return v;
  }

 private:
  template <std::size_t D, class F>
  static void each_element(const Array<T, R>& v, std::size_t offset, const F& f) {
    for (std::size_t i = 0; i < v.extent(D); ++i, offset += v.strides()[D]) {
      if constexpr (D + 1 == R) {
        f(v.data()[offset]);
      } else {
        each_element<D + 1>(v, offset, f);
      }
    }
  }
};

template <class T, std::size_t R>
struct ResultTraits<Array<T, R>> {  // An array made by alloc() becomes the result without a copy.
  static void deliver(Invocation& invocation, std::uint32_t index, Array<T, R>&& value) {
    if (value.whole()) return invocation.result(index, std::move(value.memory_->writable));
    Encoder out;
    encode(out, value);
    invocation.result(index, std::move(out));
  }
};

}  // namespace detail
}  // namespace mobula

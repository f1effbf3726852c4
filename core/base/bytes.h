#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mobula::base {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

inline ConstBytes as_bytes(std::string_view s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }
inline std::string_view as_string_view(ConstBytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }
template <class T>
requires std::is_trivially_copyable_v<T> ConstBytes object_bytes(const T& v) {
  return {reinterpret_cast<const std::byte*>(&v), sizeof v};
}

// A growing byte buffer whose first kInline bytes need no allocation.  Moves; does not copy.
class Buffer {
 public:
  static constexpr std::size_t kInline = 232;

  Buffer() = default;
  Buffer(Buffer&& other) noexcept { take(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      if (data_ != inline_) delete[] data_;
      take(other);
    }
    return *this;
  }
  ~Buffer() {
    if (data_ != inline_) delete[] data_;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  ConstBytes view() const { return {data_, size_}; }
  void clear() { size_ = 0; }
  void truncate(std::size_t n) { size_ = n; }  // REQUIRES: n <= size().

  // Makes room for n more bytes and returns them, uninitialised.
  std::byte* extend(std::size_t n) {
    if (capacity_ - size_ < n) grow(size_ + n);
    std::byte* at = data_ + size_;
    size_ += n;
    return at;
  }
  void append(const void* from, std::size_t n) {
    if (n != 0) std::memcpy(extend(n), from, n);
  }
  void append(ConstBytes b) { append(b.data(), b.size()); }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& v) { append(&v, sizeof v); }
  void put_string(std::string_view s) {  // u32 length, bytes.
    put(static_cast<std::uint32_t>(s.size()));
    append(s.data(), s.size());
  }

 private:
  void take(Buffer& other) {
    size_ = other.size_;
    if (other.data_ == other.inline_) {
      data_ = inline_;
      capacity_ = kInline;
      std::memcpy(inline_, other.inline_, size_);
    } else {
      data_ = std::exchange(other.data_, other.inline_);
      capacity_ = std::exchange(other.capacity_, kInline);
    }
    other.size_ = 0;
  }
  void grow(std::size_t need) {
    const std::size_t n = need < capacity_ * 2 ? capacity_ * 2 : need;
    auto* next = new std::byte[n];
    std::memcpy(next, data_, size_);
    if (data_ != inline_) delete[] data_;
    data_ = next;
    capacity_ = n;
  }

  std::byte* data_ = inline_;
  std::size_t size_ = 0;
  std::size_t capacity_ = kInline;
  alignas(8) std::byte inline_[kInline];
};

// Reads what a Buffer holds, from bytes that may come from outside: every read is checked, a read
// past the end fails and leaves the cursor bad, and no length is believed before the bytes are there.
class Cursor {
 public:
  explicit Cursor(ConstBytes bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  const std::byte* at() const { return at_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

  // The next n bytes, in place; an empty span and !ok() when they are not there.
  ConstBytes take(std::size_t n) {
    if (n > left()) {
      fail();
      return {};
    }
    const ConstBytes out{at_, n};
    at_ += n;
    return out;
  }
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T v{};
    const ConstBytes b = take(sizeof(T));
    if (ok_) std::memcpy(&v, b.data(), sizeof(T));
    return v;
  }
  std::string_view get_string() { return as_string_view(take(get<std::uint32_t>())); }

 private:
  const std::byte* at_;
  const std::byte* end_;
  bool ok_ = true;
};

}  // namespace mobula::base

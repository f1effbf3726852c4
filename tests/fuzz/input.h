#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/base/bytes.h"

// How fuzz targets take their input apart, and how they say that something does not hold.
namespace mobula::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

// What is left of an input.  Reading past its end gives zeros and less than was asked for.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(reinterpret_cast<const std::byte*>(data), size) {}

  bool empty() const { return left_.empty(); }
  std::size_t size() const { return left_.size(); }
  base::ConstBytes take(std::size_t n) {
    const base::ConstBytes out = left_.first(std::min(n, left_.size()));
    left_ = left_.subspan(out.size());
    return out;
  }
  template <class T>
  T get() {
    T out{};
    const base::ConstBytes bytes = take(sizeof out);
    if (!bytes.empty()) std::memcpy(static_cast<void*>(&out), bytes.data(), bytes.size());
    return out;
  }
  std::uint8_t byte() { return get<std::uint8_t>(); }
  base::ConstBytes rest() { return take(left_.size()); }
  std::string_view text() { return base::as_string_view(rest()); }
  // Up to a byte and behind it; all that is left when there is none.
  std::string_view until(char end) {
    const std::string_view all = base::as_string_view(left_);
    const std::size_t at = std::min(all.find(end), all.size());
    take(std::min(at + 1, all.size()));
    return all.substr(0, at);
  }

 private:
  base::ConstBytes left_;
};

}  // namespace mobula::fuzz

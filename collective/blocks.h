#pragma once

#include <cstddef>
#include <vector>

namespace mobula::collective {

// A buffer divided into one block per rank, in rank order without gaps.
class Blocks {
 public:
  // `count` elements as evenly as can be: the first blocks are longer by one.
  static Blocks even(std::size_t count, int size) {
    Blocks out;
    const auto n = static_cast<std::size_t>(size);
    for (std::size_t i = 0; i < n; ++i) out.push(count / n + (i < count % n ? 1 : 0));
    return out;
  }
  static Blocks equal(std::size_t each, int size) {
    Blocks out;
    for (int i = 0; i < size; ++i) out.push(each);
    return out;
  }
  explicit Blocks(const std::vector<std::size_t>& counts) {
    for (const std::size_t count : counts) push(count);
  }

  int size() const { return static_cast<int>(offsets_.size()) - 1; }
  std::size_t offset(int i) const { return offsets_[static_cast<std::size_t>(i)]; }
  std::size_t count(int i) const { return offset(i + 1) - offset(i); }
  // Blocks [first, last).
  std::size_t count(int first, int last) const { return offset(last) - offset(first); }
  std::size_t total() const { return offsets_.back(); }

 private:
  Blocks() = default;
  void push(std::size_t count) { offsets_.push_back(offsets_.back() + count); }
  std::vector<std::size_t> offsets_{0};
};

}  // namespace mobula::collective

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mobula::base {

// A set of processing units by the kernel's numbers, or of NUMA nodes.
//
// Invariant: the last word is not zero, so that equal sets have equal words.
class CpuSet {
 public:
  static constexpr unsigned kMax = 65'536;  // Numbers are below it.

  CpuSet() = default;
  static CpuSet range(unsigned first, unsigned count);
  // "0-3,8"; none when it is no such list.
  static std::optional<CpuSet> parse(std::string_view list);

  void add(unsigned n);
  void remove(unsigned n);
  bool contains(unsigned n) const { return n / 64 < words_.size() && (words_[n / 64] >> (n % 64) & 1) != 0; }
  bool empty() const { return words_.empty(); }
  unsigned count() const;
  std::optional<unsigned> first() const;
  std::vector<unsigned> members() const;  // In ascending order.

  bool covers(const CpuSet& other) const;
  bool intersects(const CpuSet& other) const;
  CpuSet& operator|=(const CpuSet& other);
  CpuSet& operator&=(const CpuSet& other);
  CpuSet& operator-=(const CpuSet& other);
  friend CpuSet operator|(CpuSet a, const CpuSet& b) { return a |= b; }
  friend CpuSet operator&(CpuSet a, const CpuSet& b) { return a &= b; }
  friend CpuSet operator-(CpuSet a, const CpuSet& b) { return a -= b; }

  std::string to_string() const;  // As the kernel prints it: "0-3,8", or "" when empty.
  auto operator<=>(const CpuSet&) const = default;

 private:
  void trim();
  std::vector<std::uint64_t> words_;
};

}  // namespace mobula::base

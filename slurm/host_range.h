#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mobula::slurm {

// Parts of host_list.h: a name whose numbers are ranges.

// Longer runs of digits are text: their numbers could overflow.
inline constexpr std::size_t kHostDigitsMax = 18;

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// first, first + step, ... up to last, each written with at least `width` digits.
struct HostRange {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t step = 1;
  std::size_t width = 1;

  bool operator==(const HostRange&) const = default;
};

// Text, or (when there are any) ranges.
struct HostPart {
  std::string text;
  std::vector<HostRange> ranges;

  bool operator==(const HostPart&) const = default;
};

using HostPattern = std::vector<HostPart>;

// How many names a pattern stands for, or more than `max`.
std::size_t count_of(const HostPattern& pattern, std::size_t max);
// Bytes of its longest name.
std::size_t longest_of(const HostPattern& pattern);
// Appends the names, the rightmost part varying fastest.
void expand(const HostPattern& pattern, std::vector<std::string>& out);

// One name as text and numbers.
HostPattern pattern_of(std::string_view host);
// Joins neighbours that differ in this part only.
void fold(std::vector<HostPattern>& patterns, std::size_t part);
// Appends the written form.
void append(std::string& out, const HostPattern& pattern);

}  // namespace mobula::slurm

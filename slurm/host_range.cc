#include "slurm/host_range.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mobula::slurm {
namespace {

std::string padded(std::uint64_t value, std::size_t width) {
  std::string digits = std::to_string(value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return digits;
}

std::uint64_t count_of(const HostRange& range) { return (range.last - range.first) / range.step + 1; }

// Whether `next` goes on where `range` ends, written as `range` would write it.
bool goes_on(const HostRange& range, const HostRange& next) {
  return range.step == 1 && next.step == 1 && next.first == range.last + 1 &&
         padded(next.first, range.width).size() == std::max(next.width, std::to_string(next.first).size());
}

bool same_but(const HostPattern& a, const HostPattern& b, std::size_t part) {
  if (a.size() != b.size() || a.size() <= part || a[part].ranges.empty() || b[part].ranges.empty()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (i != part && !(a[i] == b[i])) return false;
  }
  return true;
}

void join(std::vector<HostRange>& ranges, const std::vector<HostRange>& more) {
  for (const HostRange& range : more) {
    if (goes_on(ranges.back(), range)) {
      ranges.back().last = range.last;
    } else {
      ranges.push_back(range);
    }
  }
}

}  // namespace

std::size_t count_of(const HostPattern& pattern, std::size_t max) {
  std::uint64_t product = 1;
  for (const HostPart& part : pattern) {
    if (part.ranges.empty()) continue;
    std::uint64_t sum = 0;
    for (const HostRange& range : part.ranges) {
      sum += std::min<std::uint64_t>(count_of(range), max + 1);
      if (sum > max) return max + 1;
    }
    product *= sum;
    if (product > max) return max + 1;
  }
  return static_cast<std::size_t>(product);
}

std::size_t longest_of(const HostPattern& pattern) {
  std::size_t bytes = 0;
  for (const HostPart& part : pattern) {
    std::size_t longest = part.text.size();
    for (const HostRange& range : part.ranges) longest = std::max(longest, padded(range.last, range.width).size());
    bytes += longest;
  }
  return bytes;
}

void expand(const HostPattern& pattern, std::vector<std::string>& out) {
  const std::size_t begin = out.size();
  out.emplace_back();
  for (const HostPart& part : pattern) {
    if (part.ranges.empty()) {
      for (std::size_t i = begin; i < out.size(); ++i) out[i] += part.text;
      continue;
    }
    const std::vector<std::string> stems(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end());
    out.resize(begin);
    for (const std::string& stem : stems) {
      for (const HostRange& range : part.ranges) {
        for (std::uint64_t i = 0; i < count_of(range); ++i) {
          out.push_back(stem + padded(range.first + i * range.step, range.width));
        }
      }
    }
  }
}

HostPattern pattern_of(std::string_view host) {
  HostPattern pattern;
  for (std::size_t at = 0; at < host.size();) {
    std::size_t end = at;
    while (end < host.size() && is_digit(host[end]) == is_digit(host[at])) ++end;
    HostPart part;
    const std::string_view text = host.substr(at, end - at);
    if (is_digit(host[at]) && text.size() <= kHostDigitsMax) {
      HostRange range;
      std::from_chars(text.data(), text.data() + text.size(), range.first);
      range.last = range.first;
      range.width = text.size();
      part.ranges.push_back(range);
    } else {
      part.text = text;
    }
    pattern.push_back(std::move(part));
    at = end;
  }
  return pattern;
}

void fold(std::vector<HostPattern>& patterns, std::size_t part) {
  std::vector<HostPattern> folded;
  for (HostPattern& pattern : patterns) {
    if (!folded.empty() && same_but(folded.back(), pattern, part)) {
      join(folded.back()[part].ranges, pattern[part].ranges);
    } else {
      folded.push_back(std::move(pattern));
    }
  }
  patterns = std::move(folded);
}

void append(std::string& out, const HostPattern& pattern) {
  for (const HostPart& part : pattern) {
    out += part.text;
    if (part.ranges.empty()) continue;
    const bool many = part.ranges.size() > 1 || part.ranges[0].first != part.ranges[0].last;
    if (many) out += '[';
    for (std::size_t i = 0; i < part.ranges.size(); ++i) {
      if (i > 0) out += ',';
      out += padded(part.ranges[i].first, part.ranges[i].width);
      if (part.ranges[i].first != part.ranges[i].last) out += '-' + padded(part.ranges[i].last, part.ranges[i].width);
    }
    if (many) out += ']';
  }
}

}  // namespace mobula::slurm

#include "slurm/host_list.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "slurm/host_range.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

bool is_name_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
         c == ':';
}

// Reads one list from the left; the first thing that does not fit ends it.
class Parser final {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<std::string>> run() {
    if (text_.empty()) return std::vector<std::string>{};
    if (text_.size() > kHostListBytesMax) return fail("a shorter text");
    do {
      HostPattern pattern;
      if (auto read = read_name(pattern); !read) return read.error();
      const std::size_t count = count_of(pattern, kHostsMax);
      if (count > kHostsMax - hosts_.size()) return fail("at most " + std::to_string(kHostsMax) + " names");
      if (longest_of(pattern) > kHostNameBytesMax) {
        return fail("names of at most " + std::to_string(kHostNameBytesMax) + " bytes");
      }
      expand(pattern, hosts_);
    } while (take(','));
    if (!at_end()) return fail("a comma or the end");
    return std::move(hosts_);
  }

 private:
  Result<void> read_name(HostPattern& pattern) {
    if (peek() == '-') return fail("a name that does not begin with '-'");
    while (!at_end()) {
      if (take('[')) {
        HostPart part;
        if (auto read = read_ranges(part.ranges); !read) return read;
        pattern.push_back(std::move(part));
      } else if (is_name_character(peek())) {
        if (pattern.empty() || !pattern.back().ranges.empty()) pattern.emplace_back();
        pattern.back().text += text_[at_++];
      } else {
        break;
      }
    }
    if (pattern.empty()) return fail("a name");
    return {};
  }

  Result<void> read_ranges(std::vector<HostRange>& ranges) {
    do {
      HostRange range;
      const std::size_t begin = at_;
      if (auto read = read_number(range.first); !read) return read;
      range.width = at_ - begin;
      range.last = range.first;
      if (take('-')) {
        if (auto read = read_number(range.last); !read) return read;
        if (range.last < range.first) return fail("a range that does not go down");
        if (take('/')) {
          if (auto read = read_number(range.step); !read) return read;
          if (range.step == 0) return fail("a step of at least 1");
        }
      }
      ranges.push_back(range);
    } while (take(','));
    if (!take(']')) return fail("a comma, '-' or ']'");
    return {};
  }

  Result<void> read_number(std::uint64_t& value) {
    const std::size_t begin = at_;
    while (!at_end() && is_digit(peek())) ++at_;
    if (at_ == begin) return fail("a number");
    if (at_ - begin > kHostDigitsMax) return fail("a number of at most " + std::to_string(kHostDigitsMax) + " digits");
    std::from_chars(text_.data() + begin, text_.data() + at_, value);
    return {};
  }

  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (peek() != c || at_end()) return false;
    ++at_;
    return true;
  }

  Error fail(std::string expected) const {
    std::string what = "host list: expected " + std::move(expected) + " at character " + std::to_string(at_ + 1);
    if (at_end()) {
      what += ", where the text ends";
    } else if (is_name_character(peek()) || peek() == '[' || peek() == ']' || peek() == ',') {
      what += ", not '" + std::string(1, peek()) + "'";
    }
    return Error{Code::kInvalid, std::move(what)};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<std::string> hosts_;
};

}  // namespace

Result<std::vector<std::string>> parse_host_list(std::string_view text) { return Parser(text).run(); }

std::string write_host_list(const std::vector<std::string>& hosts) {
  std::vector<HostPattern> patterns;
  patterns.reserve(hosts.size());
  std::size_t parts_max = 0;
  for (const std::string& host : hosts) {
    patterns.push_back(pattern_of(host));
    parts_max = std::max(parts_max, patterns.back().size());
  }
  // From the right, since the rightmost brackets vary fastest: what lies left of a part that is folded is still one
  // value.
  for (std::size_t part = parts_max; part-- > 0;) fold(patterns, part);
  std::string out;
  for (const HostPattern& pattern : patterns) {
    if (!out.empty()) out += ',';
    append(out, pattern);
  }
  return out;
}

}  // namespace mobula::slurm

#include "core/base/cpu_set.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <charconv>

namespace mobula::base {

CpuSet CpuSet::range(unsigned first, unsigned count) {
  CpuSet out;
  for (unsigned n = first; n < first + count; ++n) out.add(n);
  return out;
}

std::optional<CpuSet> CpuSet::parse(std::string_view list) {
  CpuSet out;
  const auto number = [](std::string_view text) -> std::optional<unsigned> {
    unsigned n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n >= kMax) return std::nullopt;
    return n;
  };
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view part = list.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto low = number(part.substr(0, dash));
    const auto high = dash == std::string_view::npos ? low : number(part.substr(dash + 1));
    if (!low || !high || *high < *low) return std::nullopt;
    for (unsigned n = *low; n <= *high; ++n) out.add(n);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return out;
}

void CpuSet::add(unsigned n) {
  assert(n < kMax);
  if (words_.size() <= n / 64) words_.resize(n / 64 + 1);
  words_[n / 64] |= std::uint64_t{1} << (n % 64);
}

void CpuSet::remove(unsigned n) {
  if (!contains(n)) return;
  words_[n / 64] &= ~(std::uint64_t{1} << (n % 64));
  trim();
}

unsigned CpuSet::count() const {
  unsigned out = 0;
  for (const std::uint64_t word : words_) out += static_cast<unsigned>(std::popcount(word));
  return out;
}

std::optional<unsigned> CpuSet::first() const {
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (words_[i] != 0) return static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::countr_zero(words_[i]));
  }
  return std::nullopt;
}

std::vector<unsigned> CpuSet::members() const {
  std::vector<unsigned> out;
  for (std::size_t i = 0; i < words_.size(); ++i) {
    for (std::uint64_t left = words_[i]; left != 0; left &= left - 1) {
      out.push_back(static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::countr_zero(left)));
    }
  }
  return out;
}

bool CpuSet::covers(const CpuSet& other) const { return (other - *this).empty(); }
bool CpuSet::intersects(const CpuSet& other) const { return !(other & *this).empty(); }

CpuSet& CpuSet::operator|=(const CpuSet& other) {
  if (words_.size() < other.words_.size()) words_.resize(other.words_.size());
  for (std::size_t i = 0; i < other.words_.size(); ++i) words_[i] |= other.words_[i];
  return *this;
}

CpuSet& CpuSet::operator&=(const CpuSet& other) {
  words_.resize(std::min(words_.size(), other.words_.size()));
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  trim();
  return *this;
}

CpuSet& CpuSet::operator-=(const CpuSet& other) {
  for (std::size_t i = 0; i < std::min(words_.size(), other.words_.size()); ++i) words_[i] &= ~other.words_[i];
  trim();
  return *this;
}

std::string CpuSet::to_string() const {
  std::string out;
  const std::vector<unsigned> all = members();
  for (std::size_t i = 0; i < all.size();) {
    std::size_t end = i + 1;
    while (end < all.size() && all[end] == all[end - 1] + 1) ++end;
    if (!out.empty()) out += ',';
    out += std::to_string(all[i]);
    if (end - i > 1) out += '-' + std::to_string(all[end - 1]);
    i = end;
  }
  return out;
}

void CpuSet::trim() {
  while (!words_.empty() && words_.back() == 0) words_.pop_back();
}

}  // namespace mobula::base

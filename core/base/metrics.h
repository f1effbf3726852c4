#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace mobula::base {

// A table of named 64-bit numbers in one page of memory that the caller gives, as a rule shared
// memory: whoever maps the page reads the numbers without asking the process that counts.
//
// Layout, fixed by kMetricsVersion: a header of 64 bytes, then kMetricsMax slots of 64 bytes, each a
// value and a name of at most 47 bytes.  A slot is published by the release-store of the header's
// count, and is never removed or renamed.
//
// Each metric has one writing thread; readers see each number whole, not a snapshot of all.

inline constexpr std::uint64_t kMetricsMagic = 0x3163'7274'656d'626dull;  // "mbmetrc1"
inline constexpr std::uint32_t kMetricsVersion = 1;
inline constexpr std::size_t kMetricsPageBytes = 4096;
inline constexpr std::size_t kMetricNameBytesMax = 47;
inline constexpr std::size_t kMetricsMax = kMetricsPageBytes / 64 - 1;

struct MetricsHeader {
  std::atomic<std::uint64_t> magic;  // Release-stored last, so that a reader sees a whole header.
  std::uint32_t version;
  std::atomic<std::uint32_t> count;  // Slots that are published.
  char reserved[48];
};
struct MetricSlot {
  std::atomic<std::uint64_t> value;
  std::uint8_t gauge;  // 1: may go down.
  char name[kMetricNameBytesMax + 1];
  char reserved[7];
};
static_assert(sizeof(MetricsHeader) == 64 && sizeof(MetricSlot) == 64 &&
              std::atomic<std::uint64_t>::is_always_lock_free);

// A number that only grows.  One writer: a plain load and store, no locked instruction.
class Counter {
 public:
  Counter() = default;  // Counts into nothing until assigned.
  explicit Counter(std::atomic<std::uint64_t>* at) : at_(at) {}
  void add(std::uint64_t n = 1) {
    if (at_ != nullptr) at_->store(at_->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t>* at_ = nullptr;
};

// A number that is what it was last set to.
class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(std::atomic<std::uint64_t>* at) : at_(at) {}
  void set(std::uint64_t v) {
    if (at_ != nullptr) at_->store(v, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t>* at_ = nullptr;
};

// The writing side.  Belongs to one thread; the counters it gives out may each go to another thread.
class MetricsPage {
 public:
  // REQUIRES: page.size() >= kMetricsPageBytes, 64-byte aligned, zeroed, alive as long as any counter.
  explicit MetricsPage(Bytes page);

  // The metric of that name, made at the first call.  A full table, a name that is empty or too long,
  // and a name of the other kind give one that counts into nothing.
  Counter counter(std::string_view name) { return Counter(slot(name, 0)); }
  Gauge gauge(std::string_view name) { return Gauge(slot(name, 1)); }

 private:
  std::atomic<std::uint64_t>* slot(std::string_view name, std::uint8_t gauge);

  MetricsHeader* header_;
  MetricSlot* slots_;
};

struct Metric {
  std::string name;
  std::uint64_t value = 0;
  bool gauge = false;
};

// Reads a page that another process writes, and which is therefore not believed: nullopt when it is
// too small, not aligned or not a page of this version; names are cut at their limit.
std::optional<std::vector<Metric>> read_metrics(ConstBytes page);

}  // namespace mobula::base

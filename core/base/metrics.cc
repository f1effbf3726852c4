#include "core/base/metrics.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace mobula::base {

namespace {

constexpr std::size_t kAlignment = 64;

bool is_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % kAlignment == 0; }

std::string_view name_in(const MetricSlot& slot) {
  const auto* end = static_cast<const char*>(std::memchr(slot.name, 0, kMetricNameBytesMax));
  return {slot.name, end == nullptr ? kMetricNameBytesMax : static_cast<std::size_t>(end - slot.name)};
}

}  // namespace

MetricsPage::MetricsPage(Bytes page) {
  assert(page.size() >= kMetricsPageBytes && is_aligned(page.data()));
  header_ = reinterpret_cast<MetricsHeader*>(page.data());
  slots_ = reinterpret_cast<MetricSlot*>(page.data() + sizeof(MetricsHeader));
  header_->version = kMetricsVersion;
  header_->count.store(0, std::memory_order_relaxed);
  header_->magic.store(kMetricsMagic, std::memory_order_release);
}

std::atomic<std::uint64_t>* MetricsPage::slot(std::string_view name, std::uint8_t gauge) {
  if (name.empty() || name.size() > kMetricNameBytesMax) return nullptr;
  const std::uint32_t count = header_->count.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (name_in(slots_[i]) == name) return slots_[i].gauge == gauge ? &slots_[i].value : nullptr;
  }
  if (count == kMetricsMax) return nullptr;
  MetricSlot& slot = slots_[count];
  slot.gauge = gauge;
  std::memcpy(slot.name, name.data(), name.size());
  header_->count.store(count + 1, std::memory_order_release);  // Pairs with the acquire in read_metrics.
  return &slot.value;
}

std::optional<std::vector<Metric>> read_metrics(ConstBytes page) {
  if (page.size() < kMetricsPageBytes || !is_aligned(page.data())) return std::nullopt;
  const auto* header = reinterpret_cast<const MetricsHeader*>(page.data());
  const auto* slots = reinterpret_cast<const MetricSlot*>(page.data() + sizeof(MetricsHeader));
  if (header->magic.load(std::memory_order_acquire) != kMetricsMagic) return std::nullopt;
  if (header->version != kMetricsVersion) return std::nullopt;
  const std::uint32_t count = header->count.load(std::memory_order_acquire);
  if (count > kMetricsMax) return std::nullopt;
  std::vector<Metric> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    out.push_back(
        {std::string(name_in(slots[i])), slots[i].value.load(std::memory_order_relaxed), slots[i].gauge == 1});
  }
  return out;
}

}  // namespace mobula::base

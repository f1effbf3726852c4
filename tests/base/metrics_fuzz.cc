#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/metrics.h"

// A page of arbitrary bytes is read within its bounds or refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula::base;
  alignas(64) static std::byte page[kMetricsPageBytes];
  std::memset(page, 0xff, sizeof page);
  const std::uint32_t version = kMetricsVersion;
  std::memcpy(page, &kMetricsMagic, sizeof kMetricsMagic);
  std::memcpy(page + offsetof(MetricsHeader, version), &version, sizeof version);
  constexpr std::size_t kFrom = offsetof(MetricsHeader, count);
  std::memcpy(page + kFrom, data, std::min(size, sizeof page - kFrom));
  const auto metrics = read_metrics(page);
  if (!metrics) return 0;
  if (metrics->size() > kMetricsMax) std::abort();
  for (const auto& metric : *metrics) {
    if (metric.name.size() > kMetricNameBytesMax) std::abort();
  }
  return 0;
}

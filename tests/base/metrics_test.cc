#include "core/base/metrics.h"

#include <cstring>
#include <thread>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

struct alignas(64) Page {
  std::byte bytes[kMetricsPageBytes]{};
};

TEST(Metrics, AreReadByNameFromThePage) {
  Page page;
  MetricsPage metrics(page.bytes);
  Counter tasks = metrics.counter("tasks");
  Gauge queue = metrics.gauge("queue");
  tasks.add();
  tasks.add(41);
  queue.set(7);
  queue.set(3);
  const auto read = read_metrics(page.bytes);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].name, "tasks");
  EXPECT_EQ((*read)[0].value, 42u);
  EXPECT_FALSE((*read)[0].gauge);
  EXPECT_EQ((*read)[1].value, 3u);
  EXPECT_TRUE((*read)[1].gauge);
}

TEST(Metrics, OfOneNameAreOne) {
  Page page;
  MetricsPage metrics(page.bytes);
  metrics.counter("n").add(1);
  metrics.counter("n").add(1);
  metrics.gauge("n").set(99);  // Of the other kind: counts into nothing.
  EXPECT_EQ(read_metrics(page.bytes)->at(0).value, 2u);
  EXPECT_EQ(read_metrics(page.bytes)->size(), 1u);
}

TEST(Metrics, BeyondTheTableCountIntoNothing) {
  Page page;
  MetricsPage metrics(page.bytes);
  for (std::size_t i = 0; i < kMetricsMax + 10; ++i) metrics.counter("metric " + std::to_string(i)).add();
  metrics.counter("").add();
  metrics.counter(std::string(kMetricNameBytesMax + 1, 'x')).add();
  EXPECT_EQ(read_metrics(page.bytes)->size(), kMetricsMax);
}

TEST(Metrics, AreNotBelievedFromAPageThatIsNone) {
  Page page;
  EXPECT_FALSE(read_metrics(page.bytes));
  MetricsPage metrics(page.bytes);
  EXPECT_FALSE(read_metrics(ConstBytes(page.bytes).first(kMetricsPageBytes - 1)));
  const std::uint32_t lie = kMetricsMax + 1;
  std::memcpy(page.bytes + offsetof(MetricsHeader, count), &lie, sizeof lie);
  EXPECT_FALSE(read_metrics(page.bytes));
}

TEST(Metrics, OfANameWithoutAnEndAreCut) {
  Page page;
  MetricsPage metrics(page.bytes);
  metrics.counter("n").add();
  auto* slot = reinterpret_cast<MetricSlot*>(page.bytes + sizeof(MetricsHeader));
  std::memset(slot->name, 'x', sizeof slot->name);
  EXPECT_EQ(read_metrics(page.bytes)->at(0).name, std::string(kMetricNameBytesMax, 'x'));
}

TEST(Metrics, CanBeReadWhileTheyAreMadeAndCounted) {
  Page page;
  MetricsPage metrics(page.bytes);
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) {
      Counter counter = metrics.counter("metric " + std::to_string(i));
      for (int n = 0; n < 1000; ++n) counter.add();
    }
  });
  std::size_t seen = 0;
  while (seen < 50) {
    const auto read = read_metrics(page.bytes);
    ASSERT_TRUE(read);
    ASSERT_GE(read->size(), seen);
    seen = read->size();
    for (std::size_t i = 0; i < seen; ++i) ASSERT_EQ((*read)[i].name, "metric " + std::to_string(i));
  }
  writer.join();
  const auto last = read_metrics(page.bytes);
  ASSERT_TRUE(last);
  for (const auto& metric : *last) EXPECT_EQ(metric.value, 1000u);
}

}  // namespace
}  // namespace mobula::base

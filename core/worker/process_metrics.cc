#include "core/worker/process_metrics.h"

#include <utility>

namespace mobula::runtime {

ProcessMetrics ProcessMetrics::create() {
  ProcessMetrics m;
  auto file = os::make_memory_file("mobula-metrics", base::kMetricsPageBytes);
  if (!file) return m;
  auto page = os::map_file(*file, 0, base::kMetricsPageBytes, os::Access::kReadWrite);
  if (!page) return m;
  m.file_ = std::move(*file);
  m.page_ = std::move(*page);
  base::MetricsPage names(base::Bytes{m.page_.data(), m.page_.size()});
  m.calls_sent = names.counter("calls_sent");
  m.calls_failed = names.counter("calls_failed");
  m.calls_run = names.counter("calls_run");
  m.calls_returned = names.counter("calls_returned");
  m.borrows = names.counter("borrows");
  m.values_asked = names.counter("values_asked");
  m.pulls = names.counter("pulls");
  m.puts = names.counter("puts");
  m.peers_lost = names.counter("peers_lost");
  m.calls_again = names.counter("calls_again");
  m.lineage_bytes = names.gauge("lineage_bytes");
  m.lineage_let_go = names.counter("lineage_let_go");
  m.objects_hopeless = names.counter("objects_hopeless");
  return m;
}

}  // namespace mobula::runtime

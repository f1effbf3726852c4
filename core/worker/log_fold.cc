#include "core/worker/log_fold.h"

#include <algorithm>

namespace mobula::runtime {

void LogFold::add(base::Time now, proto::LogLine line, base::Outbox<FoldedLine>& out) {
  tick(now, out);
  if (line.text().empty()) return out.push_back({std::move(line), 0});
  const std::string source = std::to_string(line.pid()) + "@" + line.node();
  const auto [at, is_new] = texts_.try_emplace({line.is_stderr(), line.text()});
  Window& window = at->second;
  if (is_new) {
    window.source = source;
    window.until = now + kWindow;
    order_.push_back(at);
    out.push_back({std::move(line), 0});
    if (order_.size() > kTextsMax) end_oldest(out);
    return;
  }
  if (window.count == 0 && window.source == source) return out.push_back({std::move(line), 0});
  window.count += std::max(1u, line.repeated_times());
  window.last = std::move(line);
}

void LogFold::tick(base::Time now, base::Outbox<FoldedLine>& out) {
  while (!order_.empty() && order_.front()->second.until <= now) end_oldest(out);
}

void LogFold::flush(base::Outbox<FoldedLine>& out) {
  while (!order_.empty()) end_oldest(out);
}

std::optional<base::Time> LogFold::next_deadline() const {
  const auto waits = std::find_if(order_.begin(), order_.end(), [](const auto& at) { return at->second.count != 0; });
  if (waits == order_.end()) return std::nullopt;
  return (*waits)->second.until;
}

void LogFold::end_oldest(base::Outbox<FoldedLine>& out) {
  const auto at = order_.front();
  order_.pop_front();
  Window& window = at->second;
  if (window.count != 0) {
    window.last.set_repeated_times(1);
    out.push_back({std::move(window.last), window.count});
  }
  texts_.erase(at);
}

}  // namespace mobula::runtime

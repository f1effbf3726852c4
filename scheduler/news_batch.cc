#include "scheduler/news_batch.h"

namespace mobula::scheduler {

void NewsBatch::step(base::Time now, NewsInput input, base::Outbox<NewsOutput>& out) {
  readers_ = input.readers;
  waiting_ = true;
  tick(now, out);
}

void NewsBatch::tick(base::Time now, base::Outbox<NewsOutput>& out) {
  if (waiting_ && (!pause_until_ || now >= *pause_until_)) tell(now, out);
}

std::optional<base::Time> NewsBatch::next_deadline() const { return waiting_ ? pause_until_ : std::nullopt; }

void NewsBatch::tell(base::Time now, base::Outbox<NewsOutput>& out) {
  waiting_ = false;
  pause_until_ = now + limits_.pause + static_cast<base::Duration::rep>(readers_) * limits_.pause_per_reader;
  out.push_back(TellNews{});
}

}  // namespace mobula::scheduler

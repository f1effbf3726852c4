#include "transport/shm/ring.h"

namespace mobula::transport::shm {

bool RingWriter::refresh_limit(std::uint64_t end) {
  if (end + kCellBytes <= limit_) return true;
  // acquire: pairs with publish_consumed(); the consumer's reads of those cells come before our writes.
  const std::uint64_t consumed = memory_.control->consumed.load(std::memory_order_acquire);
  // A position only grows and never passes the tail; anything else is a broken or hostile consumer.
  if (consumed > tail_ || consumed + memory_.capacity < limit_) {
    valid_ = false;
    return false;
  }
  limit_ = consumed + memory_.capacity;
  return end + kCellBytes <= limit_;
}

std::byte* RingWriter::reserve_slow(std::size_t body) {
  if (!valid_) return nullptr;
  const std::uint64_t lap = lap_end();
  const std::uint64_t start = tail_ + cells(body) > lap ? lap : tail_;
  if (!refresh_limit(start + cells(body))) return nullptr;
  start_ = start;
  return at(start_) + kHeadBytes;
}

void RingWriter::publish_wrapped(std::uint64_t word) {
  // The record's own head first, then the wrap mark: whoever follows the mark (acquire) finds the record.
  head(start_).store(word, std::memory_order_relaxed);
  head(tail_).store(std::uint64_t{kWrapTag} << 32, std::memory_order_release);
}

RingReader::Record RingReader::front_slow(std::uint64_t word) {
  const bool wraps = word == std::uint64_t{RingWriter::kWrapTag} << 32;
  const bool may_wrap = (position_ & (memory_.capacity - 1)) != 0;
  if (!valid_ || !wraps || !may_wrap) {
    valid_ = false;
    return {};
  }
  position_ += lap_left();
  word_ = word_at(position_);
  // At offset 0 a second wrap mark is refused by may_wrap; a zero head there breaks publish_wrapped's order.
  const Record record = front();
  if (record.tag == 0) valid_ = false;
  return record;
}

}  // namespace mobula::transport::shm

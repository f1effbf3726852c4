#include "transport/ucx/reorder.h"

#include <cassert>
#include <utility>

namespace mobula::transport::ucx {
namespace {

std::size_t charge(const Held& held) { return held.header_bytes + held.payload_bytes + Reorder::kHeldOverheadBytes; }

}  // namespace

Held* Reorder::hold(const MessageHeader& head, std::size_t header_bytes, std::size_t payload_bytes) {
  const std::uint32_t ahead = head.sequence - next_;  // Wraps; what was delivered is far ahead.
  if (ahead >= kHeldMax) return nullptr;
  if (ahead < waiting_.size() && waiting_[ahead] != nullptr) return nullptr;
  if (header_bytes > bytes_max_ || payload_bytes > bytes_max_) return nullptr;
  auto held = std::make_unique<Held>();
  held->head = head;
  held->header_bytes = header_bytes;
  held->payload_bytes = payload_bytes;
  if (held_bytes_ + charge(*held) > bytes_max_) return nullptr;
  held->piece = buffers_.take(header_bytes + payload_bytes);
  if (held->piece.memory == nullptr) return nullptr;
  held_bytes_ += charge(*held);
  if (waiting_.size() <= ahead) waiting_.resize(ahead + 1);
  waiting_[ahead] = std::move(held);
  return waiting_[ahead].get();
}

std::unique_ptr<Held> Reorder::take() {
  assert(ready());
  std::unique_ptr<Held> held = std::move(waiting_.front());
  waiting_.pop_front();
  held_bytes_ -= charge(*held);
  ++next_;
  return held;
}

bool Reorder::is_valid() const {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    if (waiting_[i] == nullptr) continue;
    if (waiting_[i]->head.sequence != next_ + static_cast<std::uint32_t>(i)) return false;
    bytes += charge(*waiting_[i]);
  }
  return bytes == held_bytes_ && bytes <= bytes_max_ && waiting_.size() <= kHeldMax &&
         (waiting_.empty() || waiting_.back() != nullptr);
}

}  // namespace mobula::transport::ucx

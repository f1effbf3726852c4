#include "core/worker/spin_tokens.h"

#include <algorithm>

namespace mobula::runtime {

SpinTokens SpinTokens::format(base::Bytes page, std::uint32_t slots) {
  if (page.size() < sizeof(Page)) return {};
  auto* p = reinterpret_cast<Page*>(page.data());
  for (auto& holder : p->holders) holder.store(0, std::memory_order_relaxed);
  p->slots.store(std::clamp(slots, 1u, kSlotsMax), std::memory_order_relaxed);
  p->magic.store(kMagic, std::memory_order_release);
  return SpinTokens(p);
}

SpinTokens SpinTokens::attach(base::Bytes page) {
  if (page.size() < sizeof(Page)) return {};
  auto* p = reinterpret_cast<Page*>(page.data());
  if (p->magic.load(std::memory_order_acquire) != kMagic) return {};
  return SpinTokens(p);
}

std::uint32_t SpinTokens::slots() const {
  // From shared memory: clamped, whatever another process wrote.
  return page_ == nullptr ? 0 : std::min(page_->slots.load(std::memory_order_relaxed), kSlotsMax);
}

int SpinTokens::acquire(std::uint32_t pid) const {
  const std::uint32_t n = slots();
  for (std::uint32_t i = 0; i < n; ++i) {
    auto& holder = page_->holders[(pid + i) % n];
    std::uint32_t none = 0;
    // Relaxed: the token orders nothing but itself.
    if (holder.load(std::memory_order_relaxed) == 0 &&
        holder.compare_exchange_strong(none, pid, std::memory_order_relaxed)) {
      return static_cast<int>((pid + i) % n);
    }
  }
  return -1;
}

void SpinTokens::release(int slot) const {
  page_->holders[static_cast<std::size_t>(slot)].store(0, std::memory_order_relaxed);
}

void SpinTokens::release_all_of(std::uint32_t pid) const {
  const std::uint32_t n = slots();
  for (std::uint32_t i = 0; i < n; ++i) {
    std::uint32_t mine = pid;
    page_->holders[i].compare_exchange_strong(mine, 0, std::memory_order_relaxed);
  }
}

}  // namespace mobula::runtime

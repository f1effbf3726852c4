#include "core/worker/local_object.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "core/worker/codec.h"

namespace mobula::runtime {

bool has_buffers(ConstBytes payload) {
  std::uint32_t count = 0;
  if (payload.size() < 8) return false;
  std::memcpy(&count, payload.data() + 4, 4);
  return count != 0;
}

bool is_well_framed(ConstBytes payload) {
  base::Cursor in(payload);
  const auto meta = in.get<std::uint32_t>();
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > kPayloadBuffersMax || in.left() < std::size_t{count} * 8) return false;
  std::size_t end = 8 + std::size_t{count} * 8;
  if (meta > payload.size() - end) return false;
  end += meta;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto size = in.get<std::uint64_t>();
    const std::size_t begin = align_up(end, kBufferAlign);
    if (begin > payload.size() || size > payload.size() - begin) return false;
    end = begin + size;
  }
  return true;
}

View aligned_block(std::size_t bytes) {
  const std::size_t n = align_up(bytes == 0 ? 1 : bytes, kBufferAlign);
  auto* block = static_cast<std::byte*>(::operator new (n, std::align_val_t{kBufferAlign}));
  std::shared_ptr<const void> keep(
      block, [](const void* p) { ::operator delete (const_cast<void*>(p), std::align_val_t{kBufferAlign}); });
  return {{block, bytes}, std::move(keep)};
}

View aligned_copy(ConstBytes payload) {
  View block = aligned_block(payload.size());
  if (!payload.empty()) std::memcpy(const_cast<std::byte*>(block.bytes.data()), payload.data(), payload.size());
  return block;
}

void LocalObject::settle_inline(ConstBytes payload) {
  size_ = payload.size();
  if (payload.size() <= kSmallBytes && !has_buffers(payload)) {
    if (!payload.empty()) std::memcpy(small_, payload.data(), payload.size());  // An actor's handle has none.
    view_ = View{{small_, payload.size()}, nullptr};
  } else {
    view_ = aligned_copy(payload);
  }
  publish(ObjectStatus::kReady);
}

void LocalObject::settle_view(View view) {
  size_ = view.bytes.size();
  view_ = std::move(view);
  publish(ObjectStatus::kReady);
}

void LocalObject::remove_waiter(Waiter& waiter) {
  for (Waiter** at = &waiters_; *at != nullptr; at = &(*at)->next) {
    if (*at == &waiter) {
      *at = waiter.next;
      waiter.next = nullptr;
      return;
    }
  }
}

Waiter* LocalObject::take_waiters() {
  const ObjectStatus now = status();
  if (now == ObjectStatus::kPending) return nullptr;
  Waiter* taken = nullptr;
  Waiter** keep = &waiters_;
  // The list has the newest first: pushing onto `taken` turns it round.
  for (Waiter* w = waiters_; w != nullptr;) {
    Waiter* next = w->next;
    if (now == ObjectStatus::kRemote && w->wants == Waiter::Wants::kLocal) {
      *keep = w;
      keep = &w->next;
    } else {
      w->next = taken;
      taken = w;
    }
    w = next;
  }
  *keep = nullptr;
  return taken;
}

}  // namespace mobula::runtime

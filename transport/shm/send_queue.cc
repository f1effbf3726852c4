#include "transport/shm/send_queue.h"

#include <algorithm>
#include <cstring>

namespace mobula::transport::shm {
namespace {

// Small enough that the receiver copies one while the sender fills the next, both in the cache.
constexpr std::size_t kFragmentBytes = 16u << 10;

std::size_t fragment_bytes(std::size_t record_max) { return std::min(kFragmentBytes, record_max); }

}  // namespace

void SendQueue::add(const Tag& tag, ConstBytes header, ConstBytes payload, Completion* completion) {
  Item item;
  item.tag = tag;
  if (!header.empty()) {
    item.header.reset(new std::byte[header.size()]);
    std::memcpy(item.header.get(), header.data(), header.size());
  }
  item.payload = payload.data();
  item.payload_bytes = item.left = payload.size();
  item.completion = completion;
  bytes_ += header.size() + payload.size();
  items_.push_back(std::move(item));
}

void SendQueue::add_control(Kind kind, ConstBytes body) {
  add({kind, 0, 0}, {}, body, nullptr);
  own_payload();
}

void SendQueue::own_payload() {
  if (items_.empty()) return;
  Item& item = items_.back();
  if (item.completion != nullptr || item.left == 0) return;
  item.copy = pool_.take(item.left);
  std::memcpy(item.copy.bytes.get(), item.payload, item.left);
  item.payload = item.copy.bytes.get();
}

bool SendQueue::is_whole(const Item& item, std::size_t record_max) {
  return !item.started && padded(item.tag.header_bytes) + item.left <= record_max;
}

// The body of the item's next record.
std::size_t SendQueue::next_body(const Item& item, std::size_t record_max) {
  const std::size_t header = padded(item.tag.header_bytes);
  if (is_whole(item, record_max)) return header + item.left;
  if (item.started) return std::min(item.left, fragment_bytes(record_max));
  return sizeof(std::uint64_t) + header + std::min(item.left, fragment_bytes(record_max) - header - 8);
}

bool SendQueue::write_next(Item& item, Link& link) {
  const std::size_t record_max = link.out().record_bytes_max();
  const std::size_t body = next_body(item, record_max);
  std::byte* at = link.out().reserve(body);
  if (at == nullptr) return false;
  std::size_t part = body;
  Tag tag = item.tag;
  if (item.started) {
    tag = {Kind::kNext, 0, 0};
  } else {
    if (!is_whole(item, record_max)) {
      tag.kind = Kind::kFirst;
      const std::uint64_t total = item.payload_bytes;
      std::memcpy(at, &total, sizeof total);
      at += sizeof total;
      part -= sizeof total;
    }
    if (tag.header_bytes != 0) std::memcpy(at, item.header.get(), tag.header_bytes);
    at += padded(tag.header_bytes);
    part -= padded(tag.header_bytes);
    item.started = true;
  }
  if (part != 0) std::memcpy(at, item.payload, part);
  link.publish(pack(tag), body);
  item.payload += part;
  item.left -= part;
  return true;
}

bool SendQueue::pump(Link& link, stream::Completions& done) {
  bool wrote = false;
  while (!items_.empty()) {
    Item& item = items_.front();
    const std::size_t before = item.left;
    const bool first = !item.started;
    if (!write_next(item, link)) break;
    wrote = true;
    bytes_ -= before - item.left;
    if (first) bytes_ -= item.tag.header_bytes;
    if (item.left > 0) continue;
    if (item.completion != nullptr) done.add(*item.completion, item.payload_bytes);
    pool_.give(std::move(item.copy));
    items_.pop_front();
  }
  return wrote;
}

bool SendQueue::has_room(Link& link) const {
  return link.out().has_room(next_body(items_.front(), link.out().record_bytes_max()));
}

void SendQueue::fail(const base::Error& why, stream::Completions& done) {
  for (const Item& item : items_) {
    if (item.completion != nullptr) done.add(*item.completion, why);
  }
  items_.clear();
  bytes_ = 0;
}

}  // namespace mobula::transport::shm

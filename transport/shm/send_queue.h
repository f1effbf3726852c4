#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "transport/shm/landing_pool.h"
#include "transport/shm/link.h"
#include "transport/shm/wire.h"
#include "transport/stream/completions.h"
#include "transport/transport.h"

namespace mobula::transport::shm {

// What did not fit the ring, in order, bounded; and messages longer than a record, cut into fragments.
class SendQueue {
 public:
  SendQueue(std::size_t bytes_max, LandingPool& pool) : bytes_max_(bytes_max), pool_(pool) {}

  bool empty() const { return items_.empty(); }
  std::size_t bytes() const { return bytes_; }

  // True when a message of that length may be added: there is room, or it is alone.
  bool accepts(std::size_t bytes) const { return items_.empty() || bytes_ + bytes <= bytes_max_; }
  bool half_empty() const { return bytes_ <= bytes_max_ / 2; }

  // Without a completion the caller calls own_payload() before it returns; with one the payload stays where it
  // is, and the completion is added to the pump's when the last byte has left.
  void add(const Tag& tag, ConstBytes header, ConstBytes payload, Completion* completion);
  // Not bounded: the peer may have no more of its requests open than it has room for.
  void add_control(Kind kind, ConstBytes body);
  void own_payload();  // Copies what is left of the newest message.

  // Writes as much as the ring takes.  Returns true when it wrote something.
  bool pump(Link& link, stream::Completions& done);
  // True when pump() would get on now.  REQUIRES: !empty()
  bool has_room(Link& link) const;

  void fail(const base::Error& why, stream::Completions& done);  // Ends all completions, forgets all.

 private:
  struct Item {
    Tag tag;
    std::unique_ptr<std::byte[]> header;
    Landing copy;  // The payload's rest, once owned.
    const std::byte* payload = nullptr;
    std::size_t payload_bytes = 0;  // In all.
    std::size_t left = 0;           // Of the payload, from `payload` on.
    bool started = false;           // The first fragment has left.
    Completion* completion = nullptr;
  };
  static bool is_whole(const Item& item, std::size_t record_max);
  static std::size_t next_body(const Item& item, std::size_t record_max);
  static bool write_next(Item& item, Link& link);

  const std::size_t bytes_max_;
  LandingPool& pool_;
  std::size_t bytes_ = 0;  // Sum of `left` and headers over items_.
  std::deque<Item> items_;
};

}  // namespace mobula::transport::shm

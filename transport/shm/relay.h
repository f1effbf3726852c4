#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "transport/shm/link.h"
#include "transport/shm/region_table.h"
#include "transport/shm/send_queue.h"
#include "transport/shm/wire.h"
#include "transport/stream/completions.h"

namespace mobula::transport::shm {

// A one-sided read or write on its way.
struct Operation {
  os::Access wanted = os::Access::kReadOnly;  // Read-only: a read.
  RegionKey key{};
  std::uint64_t offset = 0;
  std::byte* local = nullptr;
  std::size_t size = 0;
  std::size_t moved = 0;
  Completion* completion = nullptr;

  bool is_read() const { return wanted == os::Access::kReadOnly; }
};

// Both ends of one-sided access by request and reply over the rings: for memory that can be neither mapped
// nor copied by the kernel.  The owner's transport takes part, its user does not.
class Relay {
 public:
  static constexpr std::size_t kOpenMax = 64;  // Operations of one side that the other works on.

  Relay(const RegionTable& regions, stream::Completions& done) : regions_(regions), done_(done) {}

  void start(const Operation& operation, SendQueue& queue);

  // A record of kind kGet .. kFailed.  kInvalid: the peer breaks the protocol.
  Result<void> take(Kind kind, ConstBytes body, SendQueue& queue);

  // Streams parts while the ring takes them.  REQUIRES: the send queue is empty, so that requests go first.
  bool pump(Link& link);
  // Answers go whenever there is room: they are short, and whoever asked waits.
  bool pump_answers(Link& link);
  bool wants_pump() const { return !answers_.empty() || !serving_.empty() || !putting_.empty(); }

  void fail(const base::Error& why);

 private:
  struct Incoming {  // A peer's write, as far as it has come.
    Access access;
    std::uint64_t moved = 0;
  };
  void ask(const Operation& operation, SendQueue& queue);
  void end(std::uint64_t operation, Result<std::size_t> result, SendQueue& queue);
  struct Answer {
    Kind kind = Kind::kFailed;  // Or kPutDone.
    Outcome outcome{};
  };
  void answer(Kind kind, std::uint64_t operation, base::Code code);
  void serve(const Access& access);
  void expect(const Access& access);
  Result<void> take_get_part(ConstBytes body, SendQueue& queue);
  Result<void> take_put_part(ConstBytes body);
  bool pump_serving(Link& link);
  bool pump_putting(Link& link);

  const RegionTable& regions_;
  stream::Completions& done_;
  std::uint64_t next_operation_ = 1;
  std::unordered_map<std::uint64_t, Operation> asked_;    // Ours, at most kOpenMax.
  std::deque<Operation> waiting_;                         // Ours, until there is room in asked_.
  std::deque<std::uint64_t> putting_;                     // Writes of ours whose parts are being sent.
  std::deque<Incoming> serving_;                          // The peer's reads, in order.
  std::unordered_map<std::uint64_t, Incoming> expected_;  // The peer's writes.
  std::deque<Answer> answers_;                            // To its requests, until they have left.
};

}  // namespace mobula::transport::shm

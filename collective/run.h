#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "collective/message.h"
#include "collective/plan.h"
#include "collective/reduction.h"
#include "core/base/bytes.h"

namespace mobula::collective {

using base::Bytes;
using base::ConstBytes;

// Takes a message of at most kPieceBytesMax to a member.  False: no room now, nothing was taken.  What was taken is
// copied.  May call Group::lose() from inside.
class Wire {
 public:
  virtual bool send(int rank, const MessageHeader& header, ConstBytes payload) = 0;

 protected:
  ~Wire() = default;
};

inline constexpr std::size_t kPieceBytesMax = 64 * 1024;

// One rank's run of one plan: a machine that is fed with pieces and asked for them.  It owns no memory but its scratch;
// the caller's buffers must stay until it is done.
class Run {
 public:
  struct Buffers {
    const std::byte* input = nullptr;
    std::byte* output = nullptr;
  };
  // `reduction` outlives the run; null when the plan reduces nothing.
  Run(Plan plan, const Signature& signature, std::uint64_t sequence, const Buffers& buffers, const Reduction* reduction,
      int self, int size);

  // Hands over what may be sent and runs what can be run, until something is missing.  `may_send(rank)` asks whether
  // there is credit; `sent(rank, bytes)` spends it.
  template <class Credits>
  void advance(Wire& wire, MessageHeader header, Credits& credits);

  // False: malformed, the sender is to be refused.
  bool take(int from, const MessageHeader& header, ConstBytes payload);

  bool done() const { return round_ == plan_.rounds(); }
  std::uint64_t sequence() const { return sequence_; }
  const Signature& signature() const { return signature_; }
  // Ranks that the current round waits for.
  std::vector<int> waits_for() const;

 private:
  struct Pending {  // A send or a receive of the current round.
    const Step* step;
    std::uint32_t message = 0;  // The n-th to, or from, its peer.
    std::size_t moved = 0;      // Bytes.
    bool finished = false;
  };
  struct Early {
    MessageHeader header;
    std::vector<std::byte> payload;
  };

  std::byte* at(const Range& range);
  std::size_t bytes(const Range& range) const { return range.count * signature_.element_bytes; }
  std::size_t piece_bytes() const;
  void enter_round();
  bool round_moved_all() const { return open_ == 0; }
  void leave_round();
  bool land(Pending& pending, const MessageHeader& header, ConstBytes payload);
  void local(const Step& step);

  Plan plan_;
  Signature signature_;
  std::uint64_t sequence_;
  Buffers buffers_;
  const Reduction* reduction_;
  int self_;
  int size_;
  std::unique_ptr<std::byte[]> scratch_;
  std::size_t round_ = 0;
  std::size_t open_ = 0;  // Sends and receives of this round that are not finished.
  std::vector<Pending> sends_;
  std::vector<Pending> receives_;
  std::map<int, std::uint32_t> sent_;                          // Messages begun, by rank.
  std::map<int, std::uint32_t> expected_;                      // Messages received or being received, by rank.
  std::multimap<std::pair<int, std::uint32_t>, Early> early_;  // By rank and message: rounds not reached yet.
};

template <class Credits>
void Run::advance(Wire& wire, MessageHeader header, Credits& credits) {
  while (!done()) {
    for (Pending& pending : sends_) {
      const std::size_t total = bytes(pending.step->from);
      while (!pending.finished) {
        const std::size_t n = std::min(piece_bytes(), total - pending.moved);
        if (!credits.may_send(pending.step->peer, n)) break;
        header.message = pending.message;
        header.offset = pending.moved;
        header.total = total;
        const ConstBytes payload{n == 0 ? nullptr : at(pending.step->from) + pending.moved, n};
        if (!wire.send(pending.step->peer, header, payload)) break;
        credits.sent(pending.step->peer, n);
        pending.moved += n;
        if (pending.moved == total) {
          pending.finished = true;
          --open_;
        }
      }
    }
    if (!round_moved_all()) return;
    leave_round();
  }
}

}  // namespace mobula::collective

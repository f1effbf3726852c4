#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "core/base/bytes.h"
#include "transport/stream/byte_stream.h"
#include "transport/stream/completions.h"
#include "transport/stream/wire.h"

namespace mobula::transport::stream {

// What one session still has to send: messages in order, small frames that answer the peer, and
// one-sided data.
//
// Bytes go through `wire_`, which holds little: it is refilled with the answers, then a quantum of
// messages, then one chunk of one-sided data, so that neither kind starves the other and a small message
// waits for one chunk at most.
class Outgoing {
 public:
  enum class State { kIdle, kBlocked, kEnded };

  struct Transfer {
    Kind kind;  // kReadChunk or kWriteChunk.
    std::uint64_t id;
    std::uint64_t region;  // 0: the memory is pinned by its completion.
    ConstBytes left;
  };

  bool idle() const { return wire_.empty() && messages_.empty() && answers_.empty() && transfers_.empty(); }
  std::size_t queued_bytes() const { return queued_bytes_; }  // Copied messages that wait.

  // `skip` bytes of the whole frame have left already; then nothing else may wait.
  void copy_message(const FrameHeader& frame, ConstBytes header, ConstBytes payload, std::size_t skip);
  // The payload stays where it is until `completion` is told.
  void refer_message(const FrameHeader& frame, ConstBytes header, ConstBytes payload, Completion& completion);
  void answer(const FrameHeader& frame, ConstBytes header);
  void add_transfer(const Transfer& transfer) { transfers_.push_back(transfer); }
  std::size_t transfers() const { return transfers_.size(); }
  void drop_transfer(Kind kind, std::uint64_t id);

  // Memory of this region is about to go: copies what has been promised of it, ends its transfers, and
  // returns the ids of the reads among them.
  std::vector<std::uint64_t> forget_region(std::uint64_t region);

  State flush(ByteStream& stream, Completions& completions);

  // Ends the completions of messages that wait.
  void fail(const base::Error& why, Completions& completions);

 private:
  // Owned whole frames, or a reference to the payload of the frame before.
  struct Segment {
    base::Buffer owned;
    ConstBytes referred;
    Completion* completion = nullptr;
    std::uint64_t region = 0;
    bool counted = false;    // Its bytes are in queued_bytes_.
    bool continued = false;  // The next segment belongs to the same frame.

    ConstBytes bytes() const { return referred.empty() ? owned.view() : referred; }
  };

  base::Buffer& block_for(std::deque<Segment>& queue, std::size_t bytes);
  base::Buffer& rest_of_frame();
  void refill();
  void commit(std::deque<Segment>& from, std::size_t quantum);
  void commit_chunk();
  void advance(std::size_t bytes, Completions& completions);
  void retire(Segment& segment, Completions& completions);

  std::deque<Segment> wire_;
  std::size_t wire_bytes_ = 0;  // Of wire_, less `sent_`.
  std::size_t sent_ = 0;        // Of the first segment of wire_.
  std::deque<Segment> messages_;
  std::deque<Segment> answers_;
  std::deque<Transfer> transfers_;  // Round robin, a chunk each.
  std::size_t queued_bytes_ = 0;
  std::vector<base::Buffer> spares_;
};

}  // namespace mobula::transport::stream

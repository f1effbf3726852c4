#pragma once

#include <array>
#include <memory>
#include <optional>

#include "core/base/bytes.h"
#include "transport/stream/byte_stream.h"
#include "transport/stream/wire.h"

namespace mobula::transport::stream {

// Cuts what a stream brings into frames.  Chunks of one-sided data go straight to where they belong, and
// large messages into a buffer of their size; only what is small passes through the scratch space.
class Incoming {
 public:
  // Told of each frame; answers false when the session is over, and is not called again then.
  class Sink {
   public:
    virtual bool frame(const FrameHeader& frame, ConstBytes header, ConstBytes payload) = 0;
    // Where the payload of a chunk goes (`frame.payload_bytes` of it); empty drops it, nullopt says that
    // no peer sends such a chunk.
    virtual std::optional<Bytes> chunk_begins(const FrameHeader& frame) = 0;
    virtual bool chunk_ended(const FrameHeader& frame) = 0;

   protected:
    ~Sink() = default;
  };

  enum class State { kOpen, kStopped, kEnded, kBroken };  // Stopped: by the sink.  Broken: not a frame.
  static constexpr std::size_t kScratchBytes = 256u << 10;

  // Reads until the stream is empty or about `budget` bytes have come.  `scratch` (kScratchBytes) is
  // shared by all sessions of a worker: what is left of a frame at the end is put aside.
  State pump(ByteStream& stream, Bytes scratch, std::size_t budget, Sink& sink);

  // The memory of this transfer is about to go: the rest of its chunk is dropped.
  void drop_chunk(Kind kind, std::uint64_t id);

 private:
  struct Filled {
    std::ptrdiff_t bytes;
    bool all_there_was;  // Less came than there was room for.
  };
  Filled fill(ByteStream& stream, Bytes scratch);
  State parse(Bytes scratch, Sink& sink);
  State begin_large(ConstBytes have, Sink& sink);
  bool end_large(Sink& sink);

  std::size_t have_ = 0;  // Bytes in the scratch space that are not parsed.
  base::Buffer aside_;    // They are here between two calls.

  // A frame whose payload does not pass through the scratch space.
  bool large_ = false;
  FrameHeader frame_;
  std::array<std::byte, kHeaderBytesMax> header_;
  std::unique_ptr<std::byte[]> payload_;  // Of a message.
  Bytes target_;                          // Empty: dropped.
  std::size_t done_ = 0;
};

}  // namespace mobula::transport::stream

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/base/bytes.h"
#include "transport/transport.h"

// What two sessions say to each other over a byte stream, after the handshake.  Little endian.
//
//   kMessage      header, payload: an active message.
//   kRead         Access: asks for bytes of a region.  Answered by chunks with the same id, in order, until
//                 Access.size bytes have come, or by kReadFailed with a code, also in between.
//   kWrite        Access: chunks with the same id follow, in order.  Answered by kWriteDone, with a code
//                 when the bytes were not wanted; chunks of an id that is not known are dropped.
//
// Ids are chosen by who asks.  At most kTransfersMax reads and as many writes of one side are open at a time.
namespace mobula::transport::stream {

enum class Kind : std::uint8_t {
  kMessage = 1,
  kRead = 2,
  kReadChunk = 3,
  kReadFailed = 4,
  kWrite = 5,
  kWriteChunk = 6,
  kWriteDone = 7,
};

struct FrameHeader {
  Kind kind = Kind::kMessage;
  std::uint8_t code = 0;   // kReadFailed, kWriteDone: a base::Code; 0 is success.
  std::uint16_t type = 0;  // kMessage.
  std::uint32_t header_bytes = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t id = 0;
};
static_assert(sizeof(FrameHeader) == 24 && alignof(FrameHeader) == 8);

struct Access {
  std::uint64_t region;
  std::uint64_t cookie;
  std::uint64_t offset;
  std::uint64_t size;
};
static_assert(sizeof(Access) == 32);

inline constexpr std::size_t kChunkBytes = 1u << 20;
inline constexpr std::size_t kTransfersMax = 64;

// nullopt for anything that no session sends.  REQUIRES: sizeof(FrameHeader) bytes.
std::optional<FrameHeader> decode_frame_header(ConstBytes bytes);

}  // namespace mobula::transport::stream

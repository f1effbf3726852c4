#include "transport/stream/wire.h"

namespace mobula::transport::stream {
namespace {

bool is_valid(const FrameHeader& h) {
  switch (h.kind) {
    case Kind::kMessage:
      return h.code == 0 && h.id == 0 && h.header_bytes <= kHeaderBytesMax && h.payload_bytes <= kMessageBytesMax;
    case Kind::kRead:
    case Kind::kWrite: return h.code == 0 && h.type == 0 && h.header_bytes == sizeof(Access) && h.payload_bytes == 0;
    case Kind::kReadChunk:
    case Kind::kWriteChunk:
      return h.code == 0 && h.type == 0 && h.header_bytes == 0 && h.payload_bytes != 0 &&
             h.payload_bytes <= kChunkBytes;
    case Kind::kReadFailed:
      return h.code != 0 && h.code <= static_cast<std::uint8_t>(base::Code::kDenied) && h.type == 0 &&
             h.header_bytes == 0 && h.payload_bytes == 0;
    case Kind::kWriteDone:
      return h.code <= static_cast<std::uint8_t>(base::Code::kDenied) && h.type == 0 && h.header_bytes == 0 &&
             h.payload_bytes == 0;
  }
  return false;
}

}  // namespace

std::optional<FrameHeader> decode_frame_header(ConstBytes bytes) {
  FrameHeader h;
  std::memcpy(&h, bytes.data(), sizeof h);
  if (!is_valid(h)) return std::nullopt;
  return h;
}

}  // namespace mobula::transport::stream

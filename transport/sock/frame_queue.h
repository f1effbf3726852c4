#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/crypto/frame_seal.h"
#include "core/os/fd.h"

namespace mobula::transport::sock {

// The header of a Channel's frame on the wire.  The number of descriptors that come with the frame is in
// the top bits of the flags, out of the user's sight.
struct ChannelHeader {
  std::uint32_t payload_bytes = 0;
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint64_t request = 0;
};
static_assert(sizeof(ChannelHeader) == 16 && alignof(ChannelHeader) == 8);
inline constexpr std::size_t kFrameFdsMax = 4;
inline constexpr unsigned kFdCountShift = 13;
inline constexpr std::uint16_t kUserFlags = (1u << kFdCountShift) - 1;

// nullopt for a length or a number of descriptors that no frame has.  REQUIRES: 16 bytes.
std::optional<ChannelHeader> decode_channel_header(base::ConstBytes bytes);

// Frames that wait to be written.  Small ones without descriptors are gathered into blocks.
class FrameQueue {
 public:
  struct Block {
    base::Buffer bytes;
    std::vector<os::Fd> fds;  // Go with the first byte.
  };

  void add(const ChannelHeader& header, base::ConstBytes payload, const crypto::Tag* tag, std::vector<os::Fd> fds);
  bool empty() const { return blocks_.empty(); }
  std::size_t bytes() const { return bytes_; }
  void clear();

  // The bytes to write next, and the descriptors to send with them.  REQUIRES: !empty()
  base::ConstBytes next() const { return blocks_.front().bytes.view().subspan(sent_); }
  std::vector<int> next_fds() const;
  void sent(std::size_t bytes);

 private:
  std::deque<Block> blocks_;
  std::size_t sent_ = 0;  // Of the first block.
  std::size_t bytes_ = 0;
};

}  // namespace mobula::transport::sock

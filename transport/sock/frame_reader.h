#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/crypto/frame_seal.h"
#include "core/os/fd.h"
#include "transport/channel.h"
#include "transport/sock/frame_queue.h"

namespace mobula::transport::sock {

// Cuts what a channel receives into frames and checks their seals.  Fed with bytes, so that it can be
// tested and fuzzed; a large payload is received straight into a buffer of its size.
class FrameReader {
 public:
  // Called for each frame; answers false to stop for good.
  using Take = std::function<bool(Frame&&)>;

  // Null `seal`: frames carry none (Unix sockets, which the kernel keeps to the two ends).
  explicit FrameReader(std::unique_ptr<crypto::FrameSeal> seal) : seal_(std::move(seal)) {}

  // Where to receive next; never empty.
  base::Bytes room();
  // That many bytes were received there, and these descriptors with them.  kInvalid: not a frame.
  // kDenied: a seal is wrong.  kExhausted: descriptors were lost on the way.
  base::Result<void> received(std::size_t bytes, std::vector<os::Fd> fds, const Take& take);

 private:
  base::Result<bool> next(base::ConstBytes rest, std::size_t* used, const Take& take);
  base::Result<bool> hand_over(const ChannelHeader& header, base::ConstBytes raw_header, base::ConstBytes body,
                               const Take& take);
  void begin_large(std::size_t total, base::ConstBytes have);

  std::unique_ptr<crypto::FrameSeal> seal_;
  std::unique_ptr<std::byte[]> small_{new std::byte[kSmallBytes]};
  std::size_t have_ = 0;  // Of the small buffer, or of the large one while there is one.
  std::unique_ptr<std::byte[]> large_;
  std::size_t large_bytes_ = 0;
  std::vector<os::Fd> fds_;  // Came, and their frame has not been handed over.

  static constexpr std::size_t kSmallBytes = 16u << 10;
};

}  // namespace mobula::transport::sock

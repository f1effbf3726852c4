#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/base/bytes.h"
#include "core/crypto/mac.h"

namespace mobula::crypto {

using Tag = std::array<std::byte, 16>;

// Authenticates the frames of one direction of a connection: AES-256-GMAC under a key that no other
// connection has, with the frame's number as nonce, so a frame cannot be changed, dropped,
// repeated or moved.
class FrameSeal {
 public:
  explicit FrameSeal(const Key& key);
  ~FrameSeal();
  FrameSeal(const FrameSeal&) = delete;
  FrameSeal& operator=(const FrameSeal&) = delete;

  Tag next(base::ConstBytes header, base::ConstBytes payload);  // Of the next frame.

 private:
  struct Cipher;
  std::unique_ptr<Cipher> cipher_;
  std::uint64_t frame_ = 0;
};

}  // namespace mobula::crypto

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/base/bytes.h"

// The only door to OpenSSL.  A failure of the library itself (out of memory, a broken installation) stops
// the process: going on without authentication is no option.
namespace mobula::transport::crypto {

using Key = std::array<std::byte, 32>;
using Tag = std::array<std::byte, 16>;

Key hmac_sha256(const Key& key, std::string_view label, base::ConstBytes a, base::ConstBytes b = {});
Key sha256(base::ConstBytes bytes);
Key hkdf_sha256(const Key& secret, base::ConstBytes salt, std::string_view label, base::ConstBytes context);

bool equal_in_constant_time(base::ConstBytes a, base::ConstBytes b);
void wipe(base::Bytes secret);

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

}  // namespace mobula::transport::crypto

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "core/base/bytes.h"
#include "transport/transport.h"

// What two UCX workers say to each other.  Little endian.
//
// Over the authenticated channel, as frames:
//   kHello    who I am to UCX, and the cookie that your messages on this connection must carry.
//   kAttach   which link I use for this connection, and which link of yours I think it leads to (see link.h).
//
// Over UCX, as the header of an active message: MessageHeader, then the sender's own header.
namespace mobula::transport::ucx {

inline constexpr std::uint16_t kWireVersion = 1;
inline constexpr std::size_t kUcxAddressBytesMax = 16 * 1024;

enum class FrameType : std::uint16_t { kHello = 1, kAttach = 2 };

struct Hello {
  std::uint64_t instance = 0;      // Random, one per worker.
  std::uint64_t cookie = 0;        // Random, one per connection.
  std::uint32_t slot = 0;          // Where the cookie's owner finds the connection.
  std::uint64_t window_bytes = 0;  // What it keeps of messages that wait for one sent before.
  std::string address;             // For ucp_ep_create.
};
base::Buffer encode(const Hello& hello);
Result<Hello> decode_hello(ConstBytes bytes);

struct Attach {
  std::uint64_t mine = 0;
  std::uint64_t yours = 0;  // 0: not known yet.
};
static_assert(sizeof(Attach) == 16);

enum class Kind : std::uint8_t {
  kMessage = 1,
  // One-sided access where the network cannot do it alone (transports for tests).  One piece each, at most
  // kPieceBytes.  The header is an Access; answers carry the same one and a base::Code in `type` (0: done).
  kRead = 2,
  kReadDone = 3,  // The payload is the piece.
  kWrite = 4,     // The payload is the piece.
  kWriteDone = 5,
};
inline constexpr std::size_t kPieceBytes = 256u << 10;

struct MessageHeader {
  std::uint64_t cookie = 0;
  std::uint32_t slot = 0;
  std::uint32_t sequence = 0;  // Per connection and direction, from 0, wraps.
  std::uint16_t type = 0;
  Kind kind = Kind::kMessage;
  std::uint8_t version = kWireVersion;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(MessageHeader) == 24 && std::has_unique_object_representations_v<MessageHeader>);

struct Access {
  std::uint64_t transfer = 0;  // Chosen by who asks.
  std::uint64_t region = 0;
  std::uint64_t cookie = 0;
  std::uint64_t offset = 0;  // From the region's first byte.
  std::uint64_t size = 0;
};
static_assert(sizeof(Access) == 40);

template <class T>
requires std::is_trivially_copyable_v<T> std::optional<T> read_exactly(ConstBytes bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

// A region as its peers know it: 32 bytes, UCX's key, and a hash of both, so that bytes that are no key are
// told from one before UCX sees them.  The cookie is random, so that a key cannot be made up.
struct RegionKey {
  std::uint64_t region = 0;
  std::uint64_t cookie = 0;
  std::uint64_t base = 0;  // Address of its first byte in its process.
  std::uint64_t size = 0;
  ConstBytes rkey;  // UCX's; empty where the network cannot reach it alone.
};
inline constexpr std::size_t kRegionKeyBytesMax = 256;
inline constexpr std::size_t kRkeyBytesMax = kRegionKeyBytesMax - 40;
base::Buffer encode(const RegionKey& key);
std::optional<RegionKey> decode_region_key(ConstBytes bytes);  // `rkey` points into `bytes`.

}  // namespace mobula::transport::ucx

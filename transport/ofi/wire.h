#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "core/base/bytes.h"
#include "transport/transport.h"

// What two ofi workers say to each other.  Little endian.
//
// Over the authenticated channel, one frame each way: Hello.
// Over libfabric, packets: PacketHeader, the sender's own header, then the payload or (kRendezvous) a Source.
namespace mobula::transport::ofi {

inline constexpr std::uint16_t kWireVersion = 1;
inline constexpr std::uint16_t kHelloFrame = 1;
inline constexpr std::size_t kOfiAddressBytesMax = 1024;

// Messages up to this long go whole in one packet; the payload of longer ones is read by the receiver.
inline constexpr std::size_t kEagerBytesMax = 4u << 10;
// Numbered packets that a sender may have on their way to one peer; the receiver has room for them.
inline constexpr std::uint32_t kWindow = 16;

struct Hello {
  std::uint64_t cookie = 0;  // Random, one per connection.
  std::uint32_t slot = 0;    // Where the cookie's owner finds the connection.
  std::string provider;      // Must be the receiver's.
  std::string address;       // For fi_av_insert.
};
base::Buffer encode(const Hello& hello);
Result<Hello> decode_hello(ConstBytes bytes);

enum class Kind : std::uint8_t {
  kMessage = 1,     // Numbered.
  kRendezvous = 2,  // Numbered.
  kNews = 3,        // Only `consumed`; also the first packet of each side, which shows that the way is open.
};

struct PacketHeader {
  std::uint64_t cookie = 0;
  std::uint32_t slot = 0;
  std::uint32_t sequence = 0;  // Of numbered packets: per connection and direction, from 0, wraps.
  std::uint32_t consumed = 0;  // How many of the receiver's numbered packets are done with, payload and all; wraps.
  std::uint16_t type = 0;
  std::uint16_t header_bytes = 0;
  Kind kind = Kind::kMessage;
  std::uint8_t version = kWireVersion;
  std::uint16_t reserved = 0;
  std::uint32_t reserved_too = 0;
};
static_assert(sizeof(PacketHeader) == 32 && std::has_unique_object_representations_v<PacketHeader>);

// Where the payload of a kRendezvous lies.
struct Source {
  std::uint64_t address = 0;  // As fi_read takes it.
  std::uint64_t key = 0;
  std::uint64_t size = 0;
};
static_assert(sizeof(Source) == 24);

inline constexpr std::size_t kPacketBytesMax = sizeof(PacketHeader) + kHeaderBytesMax + kEagerBytesMax;

template <class T>
requires std::is_trivially_copyable_v<T> std::optional<T> read_exactly(ConstBytes bytes) {
  if (bytes.size() != sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

// A region as its peers know it, and a hash of it, so that bytes that are no key are told from one.
struct RegionKey {
  std::uint64_t base = 0;  // As fi_read takes it: an address, or 0 where the provider counts from the first byte.
  std::uint64_t size = 0;
  std::uint64_t key = 0;  // The provider's.
};
base::Buffer encode(const RegionKey& key);
std::optional<RegionKey> decode_region_key(ConstBytes bytes);

}  // namespace mobula::transport::ofi

#pragma once

#include <cstddef>
#include <cstdint>

#include "transport/transport.h"

// What two shm workers say to each other.  Both run on one host and are of one wire version, so structs
// travel as they lie in memory.
namespace mobula::transport::shm {

// Over the channel, after its handshake.
//   kHello       Hello, fds: link file, doorbell page, doorbell eventfd.  First, from the connector.
//   kWelcome     Welcome, fds: doorbell page, doorbell eventfd.  The acceptor's answer.
//   kFetchRegion RegionKey.  Answered with RegionInfo and, for a region of a memory file, its descriptor.
//   kRegionGone  u64 region: forget what was fetched.
enum class FrameType : std::uint16_t { kHello = 1, kWelcome = 2, kFetchRegion = 3, kRegionGone = 4 };

// Lets the other side find out whether the kernel lets it read our memory: `value` is what lies at `address`.
struct Probe {
  std::uint64_t address;
  std::uint64_t value;
};
struct Hello {
  std::uint64_t cookie;  // Of the worker that is meant, from its address.
  std::uint64_t ring_bytes;
  Probe probe;
};
struct Welcome {
  std::uint64_t can_read;  // 1: the acceptor reads the connector's memory through the kernel.
  Probe probe;
};

struct RegionKey {
  std::uint64_t magic;  // kRegionMagic: a key of another backend is refused.
  std::uint64_t region;
  std::uint64_t cookie;  // Random: a key cannot be made up.
  std::uint64_t size;
};
inline constexpr std::uint64_t kRegionMagic = 0x31'6d'68'73'61'62'6f'6du;  // "mobashm1"

struct RegionInfo {
  std::uint64_t size;
  std::uint64_t address;      // In the owner's process.
  std::uint64_t file_offset;  // Of a region with a descriptor.
  std::uint64_t access;       // os::Access.
};

// Over the rings.  A record's tag holds the kind, and for messages the type and the header's length.
//   kMessage     header padded to 8, payload
//   kFirst       u64 payload bytes, header padded to 8, first part of the payload; then
//   kNext        further parts, until it is complete
//   kRendezvous  RendezvousOffer, header: the payload is to be read from the sender's memory
//   kFinished    u64 operation: a rendezvous has been read
//   kCanRead     the connector reads the acceptor's memory through the kernel
// One-sided access where the kernel does not let the initiator copy:
//   kGet         Access; answered by kGetPart (u64 operation, bytes) in order, or kFailed
//   kPut         Access, then kPutPart (u64 operation, bytes) in order; answered by kPutDone or kFailed
enum class Kind : std::uint8_t {
  kMessage = 1,
  kFirst,
  kNext,
  kRendezvous,
  kFinished,
  kCanRead,
  kGet,
  kGetPart,
  kPut,
  kPutPart,
  kPutDone,
  kFailed,
};

struct RendezvousOffer {
  std::uint64_t operation;
  std::uint64_t address;
  std::uint64_t bytes;
};
struct Access {
  std::uint64_t operation;
  std::uint64_t region;
  std::uint64_t cookie;
  std::uint64_t offset;
  std::uint64_t size;
};
struct Outcome {  // kPutDone, kFailed.
  std::uint64_t operation;
  std::uint64_t code;  // base::Code; 0 is success.
};

struct Tag {
  Kind kind = Kind::kMessage;
  std::uint16_t type = 0;
  std::uint16_t header_bytes = 0;
};
constexpr std::uint32_t pack(const Tag& tag) {
  return static_cast<std::uint32_t>(tag.kind) << 26 | static_cast<std::uint32_t>(tag.header_bytes) << 16 | tag.type;
}
constexpr Tag unpack(std::uint32_t tag) {
  return {static_cast<Kind>(tag >> 26), static_cast<std::uint16_t>(tag), static_cast<std::uint16_t>(tag >> 16 & 0x3ff)};
}
static_assert(kHeaderBytesMax <= 0x3ff);

constexpr std::size_t padded(std::size_t header_bytes) { return (header_bytes + 7) & ~std::size_t{7}; }

}  // namespace mobula::transport::shm

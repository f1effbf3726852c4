#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/ids.h"
#include "core/base/result.h"

namespace mobula::transport {

using base::Bytes;
using base::ConstBytes;
using base::Result;

// Where a worker can be reached over one backend.  Opaque bytes, at most kAddressBytesMax, valid only
// when they came over an authenticated channel.
using Address = std::string;
inline constexpr std::size_t kAddressBytesMax = 512;

// A message's payload may be this long at most; larger data moves one-sided or through the store.
inline constexpr std::size_t kMessageBytesMax = 1u << 30;
inline constexpr std::size_t kHeaderBytesMax = 512;

// Who a process is, as proved in the handshake.
struct PeerIdentity {
  base::WorkerId id;
  std::uint64_t incarnation = 0;  // Of its node; stale ones are refused by the layer above.
  std::string name;               // For people: "raylet", "worker", "driver".
};

// Told once how an operation ended.  Owned by the caller and alive until then; called from
// Worker::progress(), never from inside the call that started the operation.
class Completion {
 public:
  virtual void done(Result<std::size_t> bytes) = 0;

 protected:
  ~Completion() = default;
};

// Memory that peers may read and write while this lives.  Unregistered when destroyed.
// REQUIRES: no operation on it is in flight at destruction.
class Region {
 public:
  virtual ~Region() = default;
  virtual Bytes bytes() const = 0;
  virtual ConstBytes remote_key() const = 0;  // What a peer needs to reach it; at most 256 bytes.
};

struct RemoteSpan {
  std::uint64_t offset;  // From the region's first byte.
  std::size_t size;
  ConstBytes key;
};
struct LocalSpan {
  Region& region;
  std::size_t offset;
  std::size_t size;
};

// One reliable, ordered connection to a peer.  Owned by its Worker; the pointer is good until
// Inbox::lost() was told of it or close() returned.
class Endpoint {
 public:
  // Sends an active message: `type` and `header` (at most kHeaderBytesMax) arrive with `payload`, in the
  // order sent.  With a null completion everything is copied before the call returns.  With one,
  // `payload` must stay unchanged until it is done; small payloads go eagerly, large ones by
  // rendezvous.
  //
  // kExhausted: the bounded queue to this peer is full, nothing was taken; Inbox::writable() tells when
  // to go on.  kUnavailable: the peer is lost.  kInvalid: too long.
  virtual Result<void> send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) = 0;

  // One-sided: the peer's code does not take part (on backends without one-sided hardware its
  // transport does).  Offsets and sizes are checked against the region.
  virtual void read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) = 0;
  virtual void write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) = 0;

  // Forgets the peer.  Every pending completion ends with kCancelled, from the next progress().
  virtual void close() = 0;

  virtual const PeerIdentity& peer() const = 0;
  virtual bool connected() const = 0;  // False while the lazy connection is being made.

  void* user = nullptr;  // The owner's; the transport never looks at it.

 protected:
  ~Endpoint() = default;
};

// What a Worker tells its owner, always from inside progress().
class Inbox {
 public:
  // A peer connected to us and proved who it is.  `endpoint` can be sent to at once.
  virtual void accepted(Endpoint& endpoint) = 0;
  // The bytes live until the call returns.
  virtual void message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) = 0;
  // There is room again after a kExhausted.
  virtual void writable(Endpoint& endpoint) = 0;
  // The connection failed, the peer died or closed.  Last call for this endpoint; pending completions
  // have ended with kUnavailable before it.
  virtual void lost(Endpoint& endpoint, const base::Error& why) = 0;

 protected:
  ~Inbox() = default;
};

// What a connection's two ends must prove to each other: docs/security.md and transport/handshake.h.
struct Credentials {
  std::array<std::byte, 32> key{};  // The trust domain's secret, kept out of core dumps by its holder.
  PeerIdentity self;
};

struct WorkerOptions {
  Credentials credentials;
  std::string socket_directory;             // 0700; for Unix sockets.
  std::string interface = "127.0.0.1";      // Address to listen on and connect from; never a wildcard.
  std::size_t queue_bytes_max = 64u << 20;  // Per peer, beyond what the link itself buffers.
  std::size_t ring_bytes = 256u << 10;      // shm: each direction of a pair; a power of two.
  std::size_t eager_bytes_max = 32u << 10;  // Longer payloads with a completion go by rendezvous.
};

// One progress context with its listener, endpoints and regions.
//
// Not thread-safe: one thread at a time, the owner's lock around it.  No method blocks.
class Worker {
 public:
  virtual ~Worker() = default;

  virtual const Address& address() const = 0;

  // Makes an endpoint at once; the connection comes lazily and messages sent before are queued.  A
  // peer that cannot be reached or does not prove itself ends in Inbox::lost().
  virtual Result<Endpoint*> connect(const Address& peer) = 0;

  // Registers memory the caller owns.  Over shm only memory of a memory file can be mapped by
  // peers; other memory is read by the kernel on their behalf.
  virtual Result<std::unique_ptr<Region>> register_memory(Bytes memory) = 0;
  // Registers [offset, offset + size) of a memory file mapped at `mapped`: peers on this host map it.
  virtual Result<std::unique_ptr<Region>> register_file(int fd, std::size_t offset, Bytes mapped) = 0;

  virtual std::size_t progress() = 0;  // Runs ready callbacks; returns how many.
  virtual int event_fd() const = 0;    // For epoll, after arm().
  virtual bool arm() = 0;              // True: nothing is ready and event_fd() will become readable when
                                       // something is.  False: call progress() again.
};

}  // namespace mobula::transport

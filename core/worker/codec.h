#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/worker/object.h"

namespace mobula::runtime {

// A payload is how a value lies in memory, in a message and in the store:
//   u32 meta bytes, u32 count, count x u64 buffer sizes, meta, then each buffer at the next multiple of 64
//   from the payload's first byte.
// The meta stream holds the value; long contiguous data stands apart as buffers, so that it is copied
// once, or, in the store, not at all.
inline constexpr std::size_t kBufferAlign = 64;
inline constexpr std::size_t kPayloadBuffersMax = 1u << 16;
inline constexpr std::size_t kOutOfBandMin = 4096;  // Shorter data goes into the meta stream.

constexpr std::size_t align_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Collects one value.  Not thread-safe; lives on the stack of the call that encodes.
class Encoder {
 public:
  void raw(const void* data, std::size_t n) { meta_.append(data, n); }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& v) { meta_.put(v); }
  // Long data, not copied: must stay unchanged until flatten() or the end of the encoder.
  void buffer(ConstBytes data) { buffers_.push_back(data); }
  // A reference inside the value: written by the runtime (id, owner), and held until the receiver is known
  // to the owner.
  void ref(const ObjectRef& ref);
  // An actor handle inside the value.
  void actor(const class ActorRef& actor);

  bool plain() const { return buffers_.empty(); }  // The meta stream is all there is.
  ConstBytes meta() const { return meta_.view(); }
  std::vector<ObjectRef>& refs() { return refs_; }
  std::size_t header_bytes() const { return 8 + 8 * buffers_.size(); }
  std::size_t payload_bytes() const;
  void flatten(std::byte* to) const;  // payload_bytes() bytes at a multiple of 64.

 private:
  base::Buffer meta_;
  std::vector<ConstBytes> buffers_;
  std::vector<ObjectRef> refs_;
};

// Reads one value back.  Bytes are checked before they are believed; after a bad read ok() is false and
// every later read gives zeros and empty spans.
class Decoder {
 public:
  // Of a meta stream alone (an argument sent plain).
  static Decoder plain(ConstBytes meta) { return Decoder(meta); }
  // Of a payload; buffers stay where they are and `keep_alive` holds them.
  static Decoder payload(const View& view);

  bool ok() const { return cursor_.ok(); }
  void fail() { cursor_.fail(); }
  std::size_t left() const { return cursor_.left(); }
  void raw(void* to, std::size_t n) {
    const ConstBytes b = cursor_.take(n);
    if (cursor_.ok() && n != 0) std::memcpy(to, b.data(), n);
  }
  ConstBytes take(std::size_t n) { return cursor_.take(n); }
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() { return cursor_.get<T>(); }
  // The next buffer, in place.  Aligned to kBufferAlign when keep_alive() is not null.
  ConstBytes buffer();
  const std::shared_ptr<const void>& keep_alive() const { return keep_alive_; }
  ObjectRef ref();
  class ActorRef actor();

 private:
  explicit Decoder(ConstBytes meta) : cursor_(meta) {}

  base::Cursor cursor_;
  ConstBytes whole_;
  const std::byte* sizes_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t next_ = 0;
  std::size_t offset_ = 0;
  std::shared_ptr<const void> keep_alive_;
};

}  // namespace mobula::runtime

#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "core/base/result.h"

namespace mobula::transport::stream {

// One end of a reliable, ordered stream of bytes.  Nothing here blocks.
class ByteStream {
 public:
  static constexpr std::ptrdiff_t kBlocked = 0;
  static constexpr std::ptrdiff_t kEnded = -1;  // For good; why() tells.

  virtual ~ByteStream() = default;

  // Moves some of the bytes of `parts`, which are not all empty; returns how many, kBlocked or kEnded.
  virtual std::ptrdiff_t read(std::span<const iovec> parts) = 0;
  virtual std::ptrdiff_t write(std::span<const iovec> parts) = 0;
  virtual base::Error why() const = 0;

  // Whether the owner is to be called when the stream takes bytes again; it always is when some can be read.
  virtual void want_writable(bool wanted) = 0;
};

}  // namespace mobula::transport::stream

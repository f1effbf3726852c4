#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/base/bytes.h"

namespace mobula::os {

// XXH3-128 of a stream of bytes: finds what was damaged on its way or on a disk.  Not a signature: whoever may write
// the bytes may write the digest.  https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
class Digest {
 public:
  static constexpr std::size_t kBytes = 16;

  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(base::ConstBytes bytes);
  std::string finish() const;  // kBytes raw bytes, the same on every machine.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::os

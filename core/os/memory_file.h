#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// A mapping of (part of) a file; unmapped when destroyed.
class Mapping {
 public:
  Mapping() = default;
  Mapping(void* at, std::size_t size) : at_(at), size_(size) {}
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  std::byte* data() const { return static_cast<std::byte*>(at_); }
  std::size_t size() const { return size_; }
  bool valid() const { return at_ != nullptr; }

 private:
  void* at_ = nullptr;
  std::size_t size_ = 0;
};

enum class Access { kReadOnly, kReadWrite };

// A nameless memory file (memfd) of `size` bytes, close-on-exec, sealed against shrinking and growing.
// Pages are not reserved: see reserve().
base::Result<Fd> make_memory_file(const char* label, std::size_t size);

// Takes pages for [offset, offset + size) of a memory file now, so that touching them later cannot
// fault with SIGBUS.  kExhausted, with the numbers, when the machine or the cgroup has none.
base::Result<void> reserve(const Fd& file, std::size_t offset, std::size_t size);

// Shared mapping.  Checks by fstat that the file is that large (a smaller one would SIGBUS).
base::Result<Mapping> map_file(const Fd& file, std::size_t offset, std::size_t size, Access access);

std::size_t page_size();

}  // namespace mobula::os

#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "objstore/logic/shared_index.h"

namespace mobula::objstore {

// The first bytes of the control file.  Written once, before anybody else maps it.
struct ControlHeader {
  static constexpr std::uint64_t kMagic = 0x65726f746c75626dull;
  static constexpr std::uint32_t kVersion = 1;

  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t slot_count = 0;
  std::uint64_t entry_count = 0;
  std::uint64_t data_bytes = 0;
  std::uint64_t slab_bytes = 0;
  std::uint64_t huge_page_bytes = 0;  // 0: plain pages.
};

// Where things lie in the control file: header, slots, index entries, and one row of pin bits per slot, each part at a
// page boundary, so that rows can be reserved when their slot is first used.
struct ControlLayout {
  ControlLayout(std::uint32_t slot_count, std::size_t entry_count);

  std::size_t slots_at = 0;
  std::size_t entries_at = 0;
  std::size_t pins_at = 0;
  std::size_t pin_row_bytes = 0;
  std::size_t bytes = 0;

  std::size_t pin_row_at(std::uint32_t slot) const { return pins_at + slot * pin_row_bytes; }
};

// Checks header against the sizes of what is mapped and gives the index in it.  kInvalid otherwise.
base::Result<ProcessIndex> index_in(base::Bytes control);

}  // namespace mobula::objstore

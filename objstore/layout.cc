#include "objstore/layout.h"

#include <string>

namespace mobula::objstore {
namespace {

constexpr std::size_t kPage = 4096;

constexpr std::size_t to_page(std::size_t n) { return (n + kPage - 1) / kPage * kPage; }

}  // namespace

ControlLayout::ControlLayout(std::uint32_t slot_count, std::size_t entry_count) {
  slots_at = kPage;
  entries_at = to_page(slots_at + slot_count * sizeof(ProcessIndex::Slot));
  pins_at = to_page(entries_at + entry_count * sizeof(ProcessIndex::Entry));
  pin_row_bytes = to_page(entry_count / 8);
  bytes = pins_at + slot_count * pin_row_bytes;
}

base::Result<ProcessIndex> index_in(base::Bytes control) {
  const auto wrong = [](const std::string& what) {
    return base::Error{base::Code::kInvalid, "not the control file of an object store: " + what};
  };
  if (control.size() < kPage) return wrong(std::to_string(control.size()) + " bytes");
  const auto& header = *reinterpret_cast<const ControlHeader*>(control.data());
  if (header.magic != ControlHeader::kMagic || header.version != ControlHeader::kVersion) {
    return wrong("version " + std::to_string(header.version) + ", not " + std::to_string(ControlHeader::kVersion));
  }
  const bool sane = header.slot_count >= 2 && header.slot_count <= EntryWord::kSlotMax + 1 &&
                    header.entry_count >= 64 && header.entry_count <= (1ull << 31) &&
                    (header.entry_count & (header.entry_count - 1)) == 0;
  if (!sane) return wrong(std::to_string(header.entry_count) + " entries");
  const ControlLayout layout(header.slot_count, header.entry_count);
  if (layout.bytes != control.size()) return wrong("its size does not fit its header");
  ProcessIndex::Memory memory;
  memory.entries = reinterpret_cast<ProcessIndex::Entry*>(control.data() + layout.entries_at);
  memory.entry_count = header.entry_count;
  memory.slots = reinterpret_cast<ProcessIndex::Slot*>(control.data() + layout.slots_at);
  memory.slot_count = header.slot_count;
  memory.pin_bits = reinterpret_cast<std::atomic<std::uint64_t>*>(control.data() + layout.pins_at);
  memory.pin_words = layout.pin_row_bytes / sizeof(std::uint64_t);
  return ProcessIndex(memory);
}

}  // namespace mobula::objstore

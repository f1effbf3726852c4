#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "core/base/bytes.h"
#include "core/os/process.h"

namespace mobula::os {
namespace {

constexpr std::size_t kProgramHeadersMax = 256;
constexpr std::size_t kNoteBytesMax = 64 * 1024;

bool read_at(const Fd& file, std::uint64_t offset, void* out, std::size_t size) {
  return ::pread(file.get(), out, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

std::size_t padded(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

std::string hex(base::ConstBytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

// The notes of one segment: u32 name size, u32 descriptor size, u32 type, name, descriptor, each padded to 4.
std::string find_build_id(base::ConstBytes notes) {
  base::Cursor in(notes);
  while (in.ok() && in.left() > 0) {
    const auto header = in.get<Elf64_Nhdr>();
    const auto name = in.take(padded(header.n_namesz));
    const auto descriptor = in.take(padded(header.n_descsz));
    if (!in.ok()) break;
    const bool is_gnu = header.n_namesz == 4 && std::memcmp(name.data(), "GNU", 4) == 0;
    if (is_gnu && header.n_type == NT_GNU_BUILD_ID) return hex(descriptor.first(header.n_descsz));
  }
  return {};
}

}  // namespace

std::string file_build_id(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  Elf64_Ehdr header{};
  if (!file.valid() || !read_at(file, 0, &header, sizeof header)) return {};
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) return {};
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kProgramHeadersMax) return {};
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (!read_at(file, header.e_phoff + i * sizeof segment, &segment, sizeof segment)) return {};
    if (segment.p_type != PT_NOTE || segment.p_filesz > kNoteBytesMax) continue;
    std::vector<std::byte> notes(segment.p_filesz);
    if (!read_at(file, segment.p_offset, notes.data(), notes.size())) continue;
    if (auto id = find_build_id(notes); !id.empty()) return id;
  }
  return {};
}

std::string self_build_id() { return file_build_id("/proc/self/exe"); }

}  // namespace mobula::os

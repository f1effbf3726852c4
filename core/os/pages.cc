#include "core/os/pages.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "core/os/error.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace mobula::os {
namespace {

constexpr const char* kShmemSetting = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
constexpr const char* kHugePageSize = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

base::Result<void> populate(base::Bytes range, int advice) {
  while (::madvise(range.data(), range.size(), advice) != 0) {
    if (errno == EINTR || errno == EAGAIN) continue;
    // EFAULT is what a fault that would have been SIGBUS gives here.
    return error_from_errno(errno == EFAULT ? ENOMEM : errno, "populating " + std::to_string(range.size()) + " bytes");
  }
  return {};
}

}  // namespace

base::Result<void> set_access(base::Bytes range, Access access) {
  const int protection = access == Access::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  if (::mprotect(range.data(), range.size(), protection) != 0) return error_from_errno(errno, "mprotect");
  return {};
}

base::Result<void> populate(base::Bytes range) { return populate(range, MADV_POPULATE_WRITE); }

// A read fault maps the pages around it too, a write fault only its own.  Shared memory files have no
// dirty tracking, so that the pages are writable at once.
base::Result<void> map_reserved(base::Bytes range) { return populate(range, MADV_POPULATE_READ); }

void ask_for_huge_pages(base::Bytes range) { ::madvise(range.data(), range.size(), MADV_HUGEPAGE); }

std::string shared_huge_page_setting() {
  std::ifstream file(kShmemSetting);
  for (std::string word; file >> word;) {
    if (word.size() > 2 && word.front() == '[') return word.substr(1, word.size() - 2);
  }
  return {};
}

bool shared_huge_pages_on_request() {
  const std::string setting = shared_huge_page_setting();
  return huge_page_size() != 0 && !setting.empty() && setting != "never" && setting != "deny";
}

std::size_t huge_page_size() {
  std::size_t size = 0;
  std::ifstream(kHugePageSize) >> size;
  return size;
}

std::uint64_t huge_bytes_mapped(base::ConstBytes range) {
  const auto begin = reinterpret_cast<std::uintptr_t>(range.data());
  std::ifstream file("/proc/self/smaps");
  std::uint64_t sum = 0;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    std::uint64_t kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      inside = from >= begin && to <= begin + range.size();
    } else if (inside && std::sscanf(line.c_str(), "ShmemPmdMapped: %lu kB", &kib) == 1) {
      sum += kib << 10;
    }
  }
  return sum;
}

}  // namespace mobula::os

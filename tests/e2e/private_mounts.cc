#include "tests/e2e/private_mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>

namespace mobula::testing {
namespace {

void fill(const std::string& path) {
  const int file = ::open((path + "/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  std::array<char, 4096> page{};
  while (::write(file, page.data(), page.size()) > 0) {
  }
  ::close(file);
}

}  // namespace

std::function<void()> mounted(const std::string& path, Tmpfs kind) {
  return [path, kind] {
    const bool alone = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    const unsigned long flags = kind == Tmpfs::kReadOnly ? MS_RDONLY : 0;
    const char* size = kind == Tmpfs::kSmall ? "size=2m,mode=700" : "size=64k,mode=700";
    if (kind == Tmpfs::kNoFileMore) size = "nr_inodes=1,mode=700";
    if (!alone || ::mount("tmpfs", path.c_str(), "tmpfs", flags, size) != 0) ::_exit(126);
    if (kind == Tmpfs::kFull) fill(path);
  };
}

}  // namespace mobula::testing

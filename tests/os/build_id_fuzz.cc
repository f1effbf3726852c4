// A program's file, which may be anybody's: its build-id becomes the name of a file.

#include <sys/mman.h>
#include <unistd.h>

#include "core/os/fd.h"
#include "core/os/process.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula;
  static const os::Fd file(::memfd_create("program", MFD_CLOEXEC));
  static const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  fuzz::require(::ftruncate(file.get(), 0) == 0);
  fuzz::require(::pwrite(file.get(), data, size, 0) == static_cast<ssize_t>(size));
  const std::string id = os::file_build_id(path);
  fuzz::require(id.size() <= 2 * size && id.size() % 2 == 0);
  fuzz::require(id.find_first_not_of("0123456789abcdef") == std::string::npos);
  return 0;
}

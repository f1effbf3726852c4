#include <cstddef>
#include <cstring>
#include <vector>

#include "bench/sides/floor.h"
#include "bench/sides/timing.h"
#include "core/os/memory_file.h"
#include "core/os/pages.h"

namespace mobula::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
// Into a page, as an object behind its header: both at the beginning of a page copy a fifth slower.
constexpr std::size_t kInPage = 64;
constexpr std::size_t kPage = 4096;

// Shared memory whose pages are there and mapped.
os::Mapping warm_shared(std::size_t size) {
  const auto file = os::make_memory_file("bench", size + kPage);
  if (!file) throw CannotMeasure(file.error().what);
  auto mapping = os::map_file(*file, 0, size + kPage, os::Access::kReadWrite);
  if (!mapping) throw CannotMeasure(mapping.error().what);
  if (const auto there = os::populate({mapping->data(), size + kPage}); !there) throw CannotMeasure(there.error().what);
  return std::move(*mapping);
}

// `batch` copies a time, where the clock would be seen in a single one.
double copy_own_us(std::size_t size, int count, int batch = 1) {
  const std::vector<std::byte> from(size, std::byte{3});
  const os::Mapping to = warm_shared(size);
  const auto copy = [&] {
    for (int i = 0; i < batch; ++i) {
      std::memcpy(to.data() + kInPage, from.data(), size);
      asm volatile("" ::"r"(to.data()) : "memory");
    }
  };
  copy();
  return median_us(count, copy) / batch;
}

// From a mapped file into warm shared memory, as a pull between two nodes of a host does.  The source is written before
// each copy, as a fresh object is.
double copy_mapped_us(std::size_t size, int count) {
  const os::Mapping from = warm_shared(size);
  const os::Mapping to = warm_shared(size);
  std::vector<double> us;
  for (int i = 0; i <= count; ++i) {
    std::memset(from.data(), i, size);
    const auto start = Clock::now();
    std::memcpy(to.data() + kInPage, from.data(), size);
    asm volatile("" ::"r"(to.data()) : "memory");
    if (i != 0) us.push_back(seconds_since(start) * 1e6);
  }
  return median(std::move(us));
}

double gbps(std::size_t size, double us) { return static_cast<double>(size) / us / 1e3; }

}  // namespace

void add_memory_floors(Side& side) {
  side.add("put_4k_us", [](Effort e) { return copy_own_us(4096, e.of(200), 50); });
  side.add("put_1m_us", [](Effort e) { return copy_own_us(kMiB, e.of(200)); });
  side.add("put_1g_gbps", [](Effort e) {
    const std::size_t size = e.quick ? 256 * kMiB : 1024 * kMiB;
    return gbps(size, copy_own_us(size, e.quick ? 1 : 2));
  });
  side.add("pull_256m_shm_gbps",
           [](Effort e) { return gbps(256 * kMiB, copy_mapped_us(256 * kMiB, e.quick ? 1 : 2)); });
  side.add("pull_1m_shm_us", [](Effort e) { return copy_mapped_us(kMiB, e.of(40)); });
}

}  // namespace mobula::bench

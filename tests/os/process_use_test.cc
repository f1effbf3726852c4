#include "core/os/process_use.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

TEST(ProcessUse, OfOurselvesGrowsWithWhatWeDo) {
  const auto before = read_cpu_time(::getpid());
  ASSERT_TRUE(before);
  volatile unsigned sink = 0;
  while (read_cpu_time(::getpid()).value() == *before) sink = sink + 1;
  const auto small = read_private_memory(::getpid());
  ASSERT_TRUE(small && read_memory_use(::getpid()));
  const std::vector<char> big(64u << 20, 'x');
  EXPECT_GT(*read_private_memory(::getpid()), *small + (48u << 20)) << big[0];
  EXPECT_GT(*read_memory_use(::getpid()), std::uint64_t{48} << 20);
}

TEST(ProcessUse, OfWhoIsGoneIsUnknown) {
  EXPECT_FALSE(read_cpu_time(1 << 30));
  EXPECT_FALSE(read_memory_use(1 << 30));
  EXPECT_FALSE(read_private_memory(1 << 30));
}

TEST(ProcessUse, IsReadPastANameWithParenthesesAndWithoutARollupFromWhatIsResident) {
  const TemporaryDirectory root;
  std::filesystem::create_directories(root.path() + "/proc/7");
  std::ofstream(root.path() + "/proc/7/stat") << "7 (a) b) (c) R 1 7 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 0 0 0\n";
  std::ofstream(root.path() + "/proc/7/statm") << "100 50 20 1 0 30 0\n";
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(read_cpu_time(7, root.path()),
            std::chrono::nanoseconds(std::chrono::seconds(300)) / ::sysconf(_SC_CLK_TCK));
  EXPECT_EQ(read_memory_use(7, root.path()), 50 * page);
  EXPECT_EQ(read_private_memory(7, root.path()), 30 * page);
  std::ofstream(root.path() + "/proc/7/smaps_rollup") << "00400000-7ff Rss: x\nRss:  99 kB\nPss:   12 kB\n";
  EXPECT_EQ(read_memory_use(7, root.path()), 12u << 10);
}

}  // namespace
}  // namespace mobula::os

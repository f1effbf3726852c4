#include "core/base/streaming_copy.h"

#include <vector>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

TEST(StreamingCopy, CopiesEachLengthFromAndToEachAlignmentAndNothingMore) {
  constexpr std::byte kBefore{0xee};
  std::vector<std::byte> from(1024);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = std::byte(i * 7 + 1);
  for (std::size_t to_at = 0; to_at < 65; to_at += 3) {
    for (std::size_t from_at = 0; from_at < 65; from_at += 5) {
      for (std::size_t bytes = 0; bytes < 400; bytes += 13) {
        std::vector<std::byte> to(640, kBefore);
        copy_past_caches(to.data() + to_at, from.data() + from_at, bytes);
        for (std::size_t i = 0; i < to.size(); ++i) {
          const bool inside = i >= to_at && i < to_at + bytes;
          ASSERT_EQ(to[i], inside ? from[i - to_at + from_at] : kBefore) << to_at << " " << from_at << " " << bytes;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mobula::base

#include "core/base/error_info.h"

#include <gtest/gtest.h>

#include "core/base/limits.h"

namespace mobula::base {
namespace {

ErrorInfo sample() {
  ErrorInfo info;
  info.kind = ErrorKind::kWorkerDied;
  info.std_type = StdException::kOutOfRange;
  info.what = "worker died";
  info.type = "std::out_of_range";
  info.function = "app::work(int)";
  info.node = "host 1a2b";
  info.pid = 4711;
  info.attempt = 3;
  info.stack = "frame 1\nframe 2";
  info.cause = "below";
  info.evidence = {"signal 11 (SIGSEGV)", "", "store 12 of 64 MiB used"};
  info.remedy = "look at the log";
  return info;
}

TEST(ErrorInfo, ComesBackAsItWas) {
  Buffer buffer;
  encode(sample(), buffer);
  const auto back = decode_error_info(buffer.view());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->kind, ErrorKind::kWorkerDied);
  EXPECT_EQ(back->std_type, StdException::kOutOfRange);
  EXPECT_EQ(back->what, "worker died");
  EXPECT_EQ(back->type, "std::out_of_range");
  EXPECT_EQ(back->function, "app::work(int)");
  EXPECT_EQ(back->node, "host 1a2b");
  EXPECT_EQ(back->pid, 4711);
  EXPECT_EQ(back->attempt, 3u);
  EXPECT_EQ(back->stack, "frame 1\nframe 2");
  EXPECT_EQ(back->cause, "below");
  EXPECT_EQ(back->evidence, sample().evidence);
  EXPECT_EQ(back->remedy, "look at the log");
}

TEST(ErrorInfo, IsRefusedWhenAnyOfItsEndIsMissing) {
  Buffer buffer;
  encode(sample(), buffer);
  for (std::size_t n = 0; n < buffer.size(); ++n) EXPECT_FALSE(decode_error_info(buffer.view().first(n))) << n;
}

TEST(ErrorInfo, IsRefusedWithBytesBehindIt) {
  Buffer buffer;
  encode(sample(), buffer);
  buffer.put('x');
  EXPECT_FALSE(decode_error_info(buffer.view()));
}

TEST(ErrorInfo, IsRefusedWithAnUnknownVersionKindOrException) {
  for (const std::size_t at : {0u, 1u, 2u}) {
    Buffer buffer;
    encode(sample(), buffer);
    buffer.data()[at] = std::byte{200};
    EXPECT_FALSE(decode_error_info(buffer.view())) << at;
  }
}

TEST(ErrorInfo, IsCutToItsLimitsSoThatItCanAlwaysBeDecoded) {
  ErrorInfo info = sample();
  info.stack.assign(kErrorStringBytesMax + 10, 's');
  info.evidence.assign(kErrorEvidenceMax + 5, "line");
  Buffer buffer;
  encode(info, buffer);
  const auto back = decode_error_info(buffer.view());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->stack.size(), kErrorStringBytesMax);
  EXPECT_EQ(back->evidence.size(), kErrorEvidenceMax);
}

}  // namespace
}  // namespace mobula::base

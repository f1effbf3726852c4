#include "core/os/log.h"

#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Log, WritesWhatTheLevelAllows) {
  const TemporaryDirectory directory;
  const ScopedVariable level("MOBULA_LOG", "info");
  start_log({.process = "raylet 2", .file = directory.file("log")});
  log(LogLevel::kInfo, "node {} joined with {} cpus", "n1", 4);
  log(LogLevel::kDebug, "not this");
  const std::string text = contents(directory.file("log"));
  EXPECT_NE(text.find("[raylet 2 "), std::string::npos) << text;
  EXPECT_NE(text.find("node n1 joined with 4 cpus\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("not this"), std::string::npos) << text;
  start_log({.process = "test"});
}

TEST(Log, WarnsUnlessItIsToldOtherwise) {
  const ScopedVariable level("MOBULA_LOG", "nonsense");
  start_log({.process = "test"});
  EXPECT_TRUE(log_enabled(LogLevel::kWarn));
  EXPECT_FALSE(log_enabled(LogLevel::kInfo));
}

TEST(Log, FallsBackToStderrWhenTheFileCannotBeMade) {
  testing::internal::CaptureStderr();
  start_log({.process = "test", .file = "/proc/none/log"});
  log(LogLevel::kError, "still here");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("still here"), std::string::npos) << text;
}

}  // namespace
}  // namespace mobula::os

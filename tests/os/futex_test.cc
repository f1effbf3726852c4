#include "core/os/futex.h"

#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <thread>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/memory_file.h"

namespace mobula::os {
namespace {

using namespace std::chrono_literals;

TEST(Futex, DoesNotSleepWhenTheWordHasChanged) {
  const std::atomic<std::uint32_t> word{1};
  EXPECT_EQ(futex_wait(word, 0), FutexWait::kChanged);
}

TEST(Futex, GivesUpAtItsTimeout) {
  const std::atomic<std::uint32_t> word{0};
  const Time start = now();
  FutexWait result;
  do {
    result = futex_wait(word, 0, 10ms);
  } while (result == FutexWait::kWoken);
  EXPECT_EQ(result, FutexWait::kTimeout);
  EXPECT_GE(now() - start, 9ms);
}

TEST(Futex, WakesNobodyWhereNobodySleeps) {
  const std::atomic<std::uint32_t> word{0};
  EXPECT_EQ(futex_wake(word, 1), 0);
}

TEST(Futex, WakesAnotherProcessThroughItsOwnMapping) {
  auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  auto ours = map_file(*file, 0, page_size(), Access::kReadWrite);
  ASSERT_TRUE(ours);
  auto& word = *new (ours->data()) std::atomic<std::uint32_t>(0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto theirs = map_file(*file, 0, page_size(), Access::kReadWrite);
    const auto& same = *reinterpret_cast<const std::atomic<std::uint32_t>*>(theirs->data());
    while (same.load() == 0) {
      if (futex_wait(same, 0, 10s) == FutexWait::kTimeout) ::_exit(1);
    }
    ::_exit(0);
  }
  word.store(1);
  futex_wake(word, 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mobula::os

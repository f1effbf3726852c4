#include "core/os/command.h"

#include <gtest/gtest.h>

#include "core/os/process.h"

namespace mobula::os {
namespace {

using base::Code;
using namespace std::chrono_literals;

CommandOptions shell(const std::string& script, base::Duration timeout = 30s) {
  return {{"sh", "-c", script}, environment(), timeout};
}

// The same command blocking and beside a loop: both must say the same.
CommandResult run_both(const CommandOptions& options) {
  const CommandResult blocking = run_command(options);
  EventLoop loop;
  std::optional<CommandResult> answer;
  const Command command(loop, options, [&](CommandResult result) { answer = std::move(result); });
  const Time until = now() + 60s;
  while (!answer && now() < until) loop.run_once(1s);
  EXPECT_TRUE(answer.has_value());
  if (!answer) return blocking;
  EXPECT_EQ(answer->ok(), blocking.ok());
  if (blocking.ok() && answer->ok()) {
    EXPECT_EQ(**answer, *blocking);
  }
  if (!blocking.ok() && !answer->ok()) {
    EXPECT_EQ(answer->error().what, blocking.error().what);
  }
  return blocking;
}

TEST(Command, GivesWhatTheProgramWrote) {
  const auto result = run_both(shell("echo one; echo two"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(*result, "one\ntwo\n");
}

TEST(Command, AnErrorSaysHowItEndedAndWhatItComplainedAbout) {
  const auto result = run_both(shell("echo ignored; echo no such job >&2; exit 3"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().what, "sh ended with exit code 3: no such job");
}

TEST(Command, AProgramThatIsNotThereIsNotFound) {
  const auto result = run_both({{"mobula-no-such-program"}, environment(), 10s});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kNotFound);
}

TEST(Command, WhatDoesNotEndIsKilledWithAllItStarted) {
  const auto result = run_both(shell("sleep 1000 & sleep 1000", 50ms));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Code::kDeadline);
}

TEST(Command, OutputHasALimit) {
  const auto result = run_both(shell("head -c 2000000 /dev/zero"));
  ASSERT_FALSE(result.ok());
}

TEST(Command, ManyLinesPassThroughASmallPipe) {
  const auto result = run_both(shell("seq 1 50000"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->size(), 288894u);
}

TEST(Command, DestroyingItSilencesIt) {
  EventLoop loop;
  {
    const Command command(loop, shell("sleep 1000"), [](CommandResult) { ADD_FAILURE(); });
  }
  {
    const Command command(loop, {{"mobula-no-such-program"}, {}, 1s}, [](CommandResult) { ADD_FAILURE(); });
  }
  loop.run_once(10ms);
}

}  // namespace
}  // namespace mobula::os

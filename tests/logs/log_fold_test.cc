#include "core/worker/log_fold.h"

#include <gtest/gtest.h>

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using runtime::FoldedLine;
using runtime::LogFold;

class LogFoldTest : public ::testing::Test {
 protected:
  void add(int pid, const std::string& text, std::uint32_t times = 1, bool is_stderr = false) {
    proto::LogLine line;
    line.set_pid(pid);
    line.set_node("n0");
    line.set_text(text);
    line.set_repeated_times(times);
    line.set_is_stderr(is_stderr);
    fold_.add(now_, std::move(line), out_);
  }
  void pass(base::Duration time) {
    now_ += time;
    fold_.tick(now_, out_);
  }
  // What was shown since the last call: "pid text xTIMES +ACROSS" a line.
  std::string shown() {
    std::string out;
    for (const FoldedLine& folded : std::exchange(out_, {})) {
      out += std::to_string(folded.line.pid()) + " " + folded.line.text();
      if (folded.line.repeated_times() > 1) out += " x" + std::to_string(folded.line.repeated_times());
      if (folded.across != 0) out += " +" + std::to_string(folded.across);
      out += "\n";
    }
    return out;
  }

  LogFold fold_;
  base::Time now_{};
  base::Outbox<FoldedLine> out_;
};

TEST_F(LogFoldTest, the_first_is_shown_at_once_and_what_others_repeat_with_a_count_later) {
  add(1, "hello");
  EXPECT_EQ(shown(), "1 hello\n");
  EXPECT_FALSE(fold_.next_deadline());
  add(2, "hello");
  add(3, "hello", 2);
  add(1, "hello");
  EXPECT_EQ(shown(), "");
  ASSERT_TRUE(fold_.next_deadline());
  pass(*fold_.next_deadline() - now_);
  EXPECT_EQ(shown(), "1 hello +4\n");
  add(2, "hello");
  EXPECT_EQ(shown(), "2 hello\n");  // A new window.
}

TEST_F(LogFoldTest, what_one_worker_says_alone_passes) {
  for (int i = 0; i < 3; ++i) add(1, "step");
  EXPECT_EQ(shown(), "1 step\n1 step\n1 step\n");
  add(1, "step", 7);
  EXPECT_EQ(shown(), "1 step x7\n");
}

TEST_F(LogFoldTest, other_texts_other_streams_and_empty_lines_are_apart) {
  add(1, "a");
  add(2, "b");
  add(2, "a", 1, true);
  add(3, "");
  add(4, "");
  EXPECT_EQ(shown(), "1 a\n2 b\n2 a\n3 \n4 \n");
}

TEST_F(LogFoldTest, nothing_is_lost_at_the_end) {
  add(1, "a");
  add(1, "b");
  add(2, "a");
  add(2, "b");
  add(3, "b");
  shown();
  fold_.flush(out_);
  EXPECT_EQ(shown(), "2 a +1\n3 b +2\n");
  EXPECT_EQ(fold_.size(), 0u);
  fold_.flush(out_);
  EXPECT_EQ(shown(), "");
}

TEST_F(LogFoldTest, the_table_is_bounded_and_what_leaves_it_is_shown) {
  add(1, "oldest");
  add(2, "oldest");
  shown();
  for (std::size_t i = 0; i < 10 * LogFold::kTextsMax; ++i) {
    add(1, "line " + std::to_string(i));
    EXPECT_LE(fold_.size(), LogFold::kTextsMax);
  }
  EXPECT_NE(shown().find("2 oldest +1\n"), std::string::npos);
}

TEST_F(LogFoldTest, every_line_is_shown_or_counted_whatever_comes) {
  std::uint64_t seed = 1;
  std::uint64_t said = 0;
  std::uint64_t told = 0;
  const auto count = [&] {
    for (const FoldedLine& folded : std::exchange(out_, {}))
      told += folded.across != 0 ? folded.across : std::max(1u, folded.line.repeated_times());
  };
  for (int i = 0; i < 20'000; ++i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    const auto times = static_cast<std::uint32_t>(seed >> 60) % 3 + 1;
    said += times;
    add(static_cast<int>(seed >> 33) % 5, "text " + std::to_string((seed >> 40) % 400), times);
    pass(std::chrono::milliseconds((seed >> 50) % 40));
    count();
  }
  fold_.flush(out_);
  count();
  EXPECT_EQ(told, said);
}

}  // namespace
}  // namespace mobula::testing

// What workers write, seen from any node of a cluster and on the driver's terminal.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/leak_check.h"
#include "tests/support/shell.h"

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kMobula = MOBULA_PROGRAM;
const std::string kApp = MOBULA_TEST_APP;

struct Node {
  std::string name;
  std::string session;
};

class LogsTest : public ::testing::Test {
 protected:
  LogsTest() {
    ::setenv("MOBULA_STORE_BYTES", "64M", 1);
    ::unsetenv("MOBULA_CONFIG");
  }
  void TearDown() override { EXPECT_THAT(leaks_.leftovers(5s), IsEmpty()); }

  Node start(const std::string& arguments) {
    const auto started = shell(kMobula + " start --json --cpus 1 " + arguments);
    const json said = json::parse(started.out, nullptr, false);
    if (!said.is_object()) {
      ADD_FAILURE() << started.out;
      return {};
    }
    Node node{"", said.value("session", "")};
    for (const auto& [process, pid] : said["processes"].items()) node.name = process == "gcs" ? node.name : process;
    return node;
  }
  Outcome logs(const std::string& arguments) { return shell(kMobula + " logs " + arguments); }
  Outcome say_on(const Node& node, const std::string& text) {
    return shell("timeout 60 " + kMobula + " submit --address " + head_.session + " -- " + kApp + " on " + node.name +
                 " " + text);
  }

  LeakCheck leaks_;
  Node head_;
};

TEST_F(LogsTest, every_nodes_logs_can_be_read_from_any_node) {
  head_ = start("--head");
  const Node other = start("--address " + fs::path(head_.session).filename().string());
  ASSERT_EQ(say_on(head_, "at-the-head").code, 0);
  ASSERT_EQ(say_on(other, "elsewhere").code, 0);
  for (const Node& from : {head_, other}) {
    const auto all = logs("--address " + from.session);
    EXPECT_EQ(all.code, 0) << all.out;
    for (const char* words : {"task at-the-head", "parrot at-the-head", "task elsewhere", "parrot elsewhere"})
      EXPECT_THAT(all.out, HasSubstr(words));
  }
  const auto one = logs("--node " + other.name);
  EXPECT_THAT(one.out, HasSubstr("task elsewhere"));
  EXPECT_THAT(one.out, Not(HasSubstr("at-the-head")));
  const auto actors = logs("--actor polly");
  EXPECT_THAT(actors.out, HasSubstr("parrot at-the-head"));
  EXPECT_THAT(actors.out, HasSubstr("parrot elsewhere"));
  EXPECT_THAT(actors.out, Not(HasSubstr("task ")));
  EXPECT_THAT(actors.out, HasSubstr("[polly "));
  const auto workers = json::parse(shell(kMobula + " list jobs --json").out);
  ASSERT_EQ(workers.size(), 2u);
  int found = 0;
  for (const auto& job : workers) {
    const auto lines = json::parse(logs("--json --job " + job["id"].get<std::string>()).out);
    ASSERT_EQ(lines.size(), 2u) << lines.dump();
    for (const auto& line : lines) {
      EXPECT_EQ(line["stream"], "stdout");
      EXPECT_EQ(line["text"].get<std::string>().find("elsewhere") != std::string::npos, line["node"] == other.name);
      ++found;
    }
  }
  EXPECT_EQ(found, 4);
  EXPECT_EQ(logs("--node nowhere").code, 1);
  EXPECT_EQ(logs("--actor nobody").code, 1);
  EXPECT_EQ(logs("no-such-log").code, 1);
  EXPECT_EQ(shell(kMobula + " stop").code, 0);
}

TEST_F(LogsTest, the_end_of_a_log_is_shown_by_lines_and_names_cannot_leave_the_directory) {
  head_ = start("--head");
  const std::string directory = head_.session + "/logs/";
  {
    std::ofstream out(directory + "made-up.log");
    for (int i = 1; i <= 100'000; ++i) out << "line " << i << "\n";
    out << "a last one without an end";
  }
  EXPECT_EQ(logs("made-up --tail 3").out,
            "[made-up.log@n0] line 99999\n[made-up.log@n0] line 100000\n[made-up.log@n0] a last one without an end\n");
  EXPECT_EQ(shell(kMobula + " logs made-up | wc -l").out, "100001\n");
  std::ofstream(leaks_.directory() + "/secret.txt") << "not for you\n";
  fs::create_symlink(leaks_.directory() + "/secret.txt", directory + "link.log");
  fs::create_directory(directory + "directory.log");
  const auto all = logs("");
  EXPECT_THAT(all.out, Not(HasSubstr("not for you")));
  fs::remove(leaks_.directory() + "/secret.txt");
  EXPECT_EQ(shell(kMobula + " stop").code, 0);
}

TEST_F(LogsTest, following_goes_on_until_the_cluster_ends) {
  head_ = start("--head");
  const std::string file = leaks_.directory() + "/followed";
  std::thread follower([&] { EXPECT_EQ(shell(kMobula + " logs made-up -f >" + file).code, 0); });
  const auto shown = [&file](const char* words) {
    return eventually([&] { return shell("cat " + file).out.find(words) != std::string::npos; });
  };
  std::ofstream out(head_.session + "/logs/made-up.log");
  out << "first" << std::endl;
  EXPECT_TRUE(shown("[made-up.log@n0] first\n"));
  out << "second" << std::endl;
  EXPECT_TRUE(shown("[made-up.log@n0] second\n"));
  EXPECT_EQ(shell(kMobula + " stop").code, 0);
  follower.join();
  fs::remove(file);
}

// How many lines a driver's output has with this text, those that are counted only included.
int lines_said(const std::string& out, const std::string& text) {
  int count = 0;
  const std::regex line(text + R"(( \(x(\d+)\))?( \[repeated (\d+)x across workers\])?\n)");
  for (std::sregex_iterator at(out.begin(), out.end(), line), end; at != end; ++at)
    count += (*at)[4].matched ? std::stoi((*at)[4]) : (*at)[2].matched ? std::stoi((*at)[2]) : 1;
  return count;
}

TEST_F(LogsTest, what_many_workers_say_at_once_is_one_line_with_a_count) {
  const auto run = [](const std::string& environment) {
    const auto ran =
        shell(environment + " timeout 60 " + kMobula + " run --nodes 2 --cpus-per-node 3 -- " + kApp + " chorus hey 6");
    EXPECT_EQ(ran.code, 0) << ran.out;
    return ran.out;
  };
  const std::string folded = run("");
  EXPECT_EQ(lines_said(folded, "hey"), 6) << folded;
  EXPECT_THAT(folded, ::testing::ContainsRegex("hey \\[repeated [2-5]x across workers\\]")) << folded;
  const std::string plain = run("MOBULA_FOLD_LOGS=0");
  EXPECT_EQ(lines_said(plain, "hey"), 6) << plain;
  EXPECT_THAT(plain, Not(HasSubstr("repeated")));
  EXPECT_THAT(run("MOBULA_LOG_TO_DRIVER=0"), Not(HasSubstr("hey")));
}

}  // namespace
}  // namespace mobula::testing

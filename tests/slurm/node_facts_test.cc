#include "core/cli/node_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mobula::cli {
namespace {

using Verdict = Finding::Verdict;
using ::testing::HasSubstr;

NodeFacts node(const std::string& host, std::int64_t clock, std::string memlock = "unlimited",
               std::string build = "1") {
  return {host, clock, {{"mobula", std::move(build)}, {"memlock", std::move(memlock)}}};
}

Finding find(const std::vector<Finding>& findings, const std::string& subject) {
  for (const auto& f : findings) {
    if (f.subject == subject) return f;
  }
  ADD_FAILURE() << "nothing is said of " << subject;
  return {};
}

TEST(NodeFacts, NodesThatAreAlikeAreFine) {
  const auto findings = compare_nodes({node("n1", 1000), node("n2", 1200)}, {"n1", "n2"});
  for (const auto& f : findings) EXPECT_EQ(f.verdict, Verdict::kOk) << f.subject;
  EXPECT_EQ(find(findings, "memlock").text, "unlimited on all");
}

TEST(NodeFacts, ADifferenceNamesWhoHasWhat) {
  const auto findings = compare_nodes({node("n1", 0), node("n2", 0), node("n3", 0, "65536")}, {"n1", "n2", "n3"});
  const Finding memlock = find(findings, "memlock");
  EXPECT_EQ(memlock.verdict, Verdict::kWarn);
  EXPECT_EQ(memlock.text, "65536 on n3; unlimited on n[1-2]");
}

TEST(NodeFacts, TwoBuildsAreAFailure) {
  const auto findings = compare_nodes({node("n1", 0), node("n2", 0, "unlimited", "2")}, {"n1", "n2"});
  EXPECT_EQ(find(findings, "mobula").verdict, Verdict::kFail);
}

TEST(NodeFacts, ANodeThatDoesNotAnswerAndOneThatAnswersTwiceAreNamed) {
  const auto findings = compare_nodes({node("n1", 0), node("n1", 0)}, {"n1", "n2", "n3"});
  EXPECT_EQ(find(findings, "nodes").verdict, Verdict::kFail);
  EXPECT_THAT(find(findings, "nodes").text, HasSubstr("n[2-3]"));
  EXPECT_EQ(find(findings, "host name").verdict, Verdict::kFail);
  EXPECT_EQ(find(compare_nodes({node("n1.cluster.example", 0)}, {"n1"}), "nodes").verdict, Verdict::kOk);
  EXPECT_EQ(find(compare_nodes({}, {"n1"}), "nodes").verdict, Verdict::kFail);
}

TEST(NodeFacts, ClocksThatAreApartAreNamed) {
  const auto findings = compare_nodes({node("n1", 10'000), node("n2", 0)}, {"n1", "n2"});
  EXPECT_EQ(find(findings, "clocks").verdict, Verdict::kWarn);
  EXPECT_EQ(find(findings, "clocks").text, "n2 is 10000 ms behind n1");
}

TEST(NodeFacts, ANodesAnswerIsOneLine) {
  const NodeFacts own = read_node_facts();
  const std::string line = print(own);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto again = parse_node_facts(line);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->host, own.host);
  EXPECT_EQ(again->facts, own.facts);
  for (const char* bad : {"", "[]", "{}", "{\"host\":1}", R"({"host":"a","clock_unix_ms":1,"facts":[["x"]]})"}) {
    EXPECT_FALSE(parse_node_facts(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace mobula::cli

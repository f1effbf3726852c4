#include "slurm/host_list.h"

#include <rapidcheck.h>

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

using Hosts = std::vector<std::string>;

Hosts parse(std::string_view text) {
  auto hosts = parse_host_list(text);
  if (!hosts) {
    ADD_FAILURE() << text << ": " << hosts.error().what;
    return {};
  }
  return *hosts;
}

std::string error_of(std::string_view text) {
  auto hosts = parse_host_list(text);
  return hosts ? "(read)" : hosts.error().what;
}

TEST(HostList, RangesExpandInOrderAndKeepTheirZeros) {
  EXPECT_EQ(parse("gpu[001-003,130],login1"), (Hosts{"gpu001", "gpu002", "gpu003", "gpu130", "login1"}));
  EXPECT_EQ(parse("n[8-11]"), (Hosts{"n8", "n9", "n10", "n11"}));
  EXPECT_EQ(parse("n[08-11]"), (Hosts{"n08", "n09", "n10", "n11"}));
  EXPECT_EQ(parse("n[099-101]-ib0"), (Hosts{"n099-ib0", "n100-ib0", "n101-ib0"}));
  EXPECT_EQ(parse(""), Hosts{});
  EXPECT_EQ(parse("a"), Hosts{"a"});
  EXPECT_EQ(parse("10.0.0.[1-2]"), (Hosts{"10.0.0.1", "10.0.0.2"}));
}

TEST(HostList, SeveralBracketsMultiplyTheLeftmostSlowest) {
  EXPECT_EQ(parse("r[1-2]n[1,3]"), (Hosts{"r1n1", "r1n3", "r2n1", "r2n3"}));
  EXPECT_EQ(parse("[1-2][3-4]"), (Hosts{"13", "14", "23", "24"}));
}

TEST(HostList, StepsAreRead) {
  EXPECT_EQ(parse("n[0-10/5]"), (Hosts{"n0", "n5", "n10"}));
  EXPECT_EQ(parse("n[00-09/4,20]"), (Hosts{"n00", "n04", "n08", "n20"}));
}

TEST(HostList, ErrorsSayWhereAndWhat) {
  EXPECT_EQ(error_of("n[1-"), "host list: expected a number at character 5, where the text ends");
  EXPECT_EQ(error_of("n[1-x]"), "host list: expected a number at character 5, not 'x'");
  EXPECT_EQ(error_of("n[3-1]"), "host list: expected a range that does not go down at character 6, not ']'");
  EXPECT_EQ(error_of("n[]"), "host list: expected a number at character 3, not ']'");
  EXPECT_EQ(error_of("n[1"), "host list: expected a comma, '-' or ']' at character 4, where the text ends");
  EXPECT_EQ(error_of("n[1[2]]"), "host list: expected a comma, '-' or ']' at character 4, not '['");
  EXPECT_EQ(error_of("n]"), "host list: expected a comma or the end at character 2, not ']'");
  EXPECT_EQ(error_of("a,,b"), "host list: expected a name at character 3, not ','");
  EXPECT_EQ(error_of("a,"), "host list: expected a name at character 3, where the text ends");
  EXPECT_EQ(error_of("a b"), "host list: expected a comma or the end at character 2");
  EXPECT_EQ(error_of("a;reboot"), "host list: expected a comma or the end at character 2");
  EXPECT_EQ(error_of("-oProxyCommand"),
            "host list: expected a name that does not begin with '-' at character 1, not '-'");
  EXPECT_EQ(error_of("n[0-4/0]"), "host list: expected a step of at least 1 at character 8, not ']'");
}

TEST(HostList, NoTextTakesMemoryWithoutLimit) {
  EXPECT_EQ(parse("n[1-65536]").size(), kHostsMax);
  EXPECT_NE(error_of("n[1-65537]").find("at most 65536 names"), std::string::npos);
  EXPECT_NE(error_of("a[1-40000],b[1-40000]").find("at most 65536 names"), std::string::npos);
  EXPECT_NE(error_of("n[1-999999999999999999]").find("at most 65536 names"), std::string::npos);
  EXPECT_NE(error_of("n[1-300][1-300]").find("at most 65536 names"), std::string::npos);
  EXPECT_NE(error_of("n[1-9999999999999999999]").find("at most 18 digits"), std::string::npos);
  EXPECT_NE(error_of(std::string(300, 'x')).find("at most 255 bytes"), std::string::npos);
  EXPECT_NE(error_of(std::string(kHostListBytesMax + 1, 'x')).find("a shorter text"), std::string::npos);
}

TEST(HostList, WritingFoldsNeighbours) {
  EXPECT_EQ(write_host_list({}), "");
  EXPECT_EQ(write_host_list({"login"}), "login");
  EXPECT_EQ(write_host_list({"n1", "n2", "n3", "n5"}), "n[1-3,5]");
  EXPECT_EQ(write_host_list({"n08", "n09", "n10", "login1"}), "n[08-10],login1");
  EXPECT_EQ(write_host_list({"n9", "n10", "n011"}), "n[9-10,011]");
  EXPECT_EQ(write_host_list({"r1n1", "r1n2", "r2n1", "r2n2"}), "r[1-2]n[1-2]");
  EXPECT_EQ(write_host_list({"r1n1", "r1n2", "r2n1"}), "r1n[1-2],r2n1");
  EXPECT_EQ(write_host_list({"n2", "n1"}), "n[2,1]");
}

// Names made of few letters and short numbers, so that many are neighbours.
rc::Gen<std::string> names() {
  const auto word = rc::gen::element<std::string>("n", "gpu", "r", "-", "x.y", "a_b");
  const auto number = rc::gen::map(rc::gen::pair(rc::gen::inRange(0, 120), rc::gen::inRange(0, 5)), [](auto pair) {
    std::string digits = std::to_string(pair.first);
    if (static_cast<int>(digits.size()) < pair.second)
      digits.insert(0, static_cast<std::size_t>(pair.second) - digits.size(), '0');
    return digits;
  });
  return rc::gen::map(rc::gen::tuple(word, number, word, number), [](const auto& t) {
    return "n" + std::get<0>(t) + std::get<1>(t) + std::get<2>(t) + std::get<3>(t);
  });
}

TEST(HostList, WhatIsWrittenReadsBackAsTheSameNamesInTheSameOrder) {
  EXPECT_TRUE(rc::check([] {
    const auto hosts = *rc::gen::container<Hosts>(names());
    const std::string text = write_host_list(hosts);
    const auto again = parse_host_list(text);
    RC_ASSERT(again.ok());
    RC_ASSERT(*again == hosts);
  }));
}

TEST(HostList, EveryProductOfRangesFoldsIntoOneName) {
  EXPECT_TRUE(rc::check([] {
    const int racks = *rc::gen::inRange(2, 12);
    const int first = *rc::gen::inRange(0, 98);
    const int nodes = *rc::gen::inRange(2, 12);
    const std::string text =
        "r[1-" + std::to_string(racks) + "]n[" + std::to_string(first) + "-" + std::to_string(first + nodes - 1) + "]";
    const auto hosts = parse_host_list(text);
    RC_ASSERT(hosts.ok());
    RC_ASSERT(hosts->size() == static_cast<std::size_t>(racks * nodes));
    RC_ASSERT(write_host_list(*hosts) == text);
  }));
}

}  // namespace
}  // namespace mobula::slurm

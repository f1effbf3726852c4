#include "collective/choose.h"

#include <gtest/gtest.h>

namespace mobula::collective {
namespace {

TEST(Table, the_first_rule_that_fits_decides_and_overrides_go_first) {
  Table table;
  EXPECT_EQ(table.choose(Operation::kAllreduce, 8, 4), Algorithm::kRecursiveDoubling);
  EXPECT_EQ(table.choose(Operation::kAllreduce, 1 << 30, 4), Algorithm::kRing);
  ASSERT_TRUE(table.override_with("allreduce<=100@3:ring,broadcast:scatter_allgather"));
  EXPECT_EQ(table.choose(Operation::kAllreduce, 8, 4), Algorithm::kRing);
  EXPECT_EQ(table.choose(Operation::kAllreduce, 8, 2), Algorithm::kRecursiveDoubling);
  EXPECT_EQ(table.choose(Operation::kBroadcast, 1, 2), Algorithm::kScatterAllgather);
  EXPECT_TRUE(table.to_string().starts_with("allreduce<=100@3:ring\nbroadcast:scatter_allgather\n"));
}

TEST(Table, what_it_prints_it_reads) {
  std::string printed = Table().to_string();
  for (char& c : printed) c = c == '\n' ? ',' : c;
  printed.pop_back();
  Table table;
  ASSERT_TRUE(table.override_with(printed));
  EXPECT_EQ(table.to_string(), Table().to_string() + Table().to_string());
}

TEST(Table, refuses_what_is_no_rule_and_names_it) {
  Table table;
  for (const char* bad : {"allreduce", "allreduce:quick", "allreduce:bruck", "dance:ring", "allreduce<=x:ring", ",",
                          "send/recv:linear"}) {
    const auto set = table.override_with(bad);
    ASSERT_FALSE(set) << bad;
    EXPECT_NE(set.error().what.find("is no rule"), std::string::npos);
  }
  EXPECT_EQ(table.to_string(), Table().to_string());
}

}  // namespace
}  // namespace mobula::collective

#include "core/cluster/role_options.h"

#include <gtest/gtest.h>

namespace mobula::cluster {
namespace {

TEST(RoleOptionsTest, WhatIsPrintedIsReadTheSame) {
  RayletOptions options;
  options.name = "n0=\\\n\\n";
  options.store_bytes = ~std::uint64_t{0};
  options.labels = {{"a=b", "c"}, {"line\nlife_fd", "7"}};
  options.resources.set("cpus", {5'000});
  const auto again = parse_raylet_options(print(options));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->name, options.name);
  EXPECT_EQ(again->store_bytes, options.store_bytes);
  EXPECT_EQ(again->labels, options.labels);
  EXPECT_EQ(again->resources, options.resources);
  EXPECT_EQ(again->life_fd, -1) << "no label is an option";
}

TEST(RoleOptionsTest, ANumberThatDoesNotFitIsRefused) {
  EXPECT_FALSE(parse_raylet_options("workers_max=4294967296\n"));
  EXPECT_FALSE(parse_raylet_options("life_fd=99999999999\n"));
  EXPECT_FALSE(parse_raylet_options("store_bytes=-1\n"));
}

TEST(RoleOptionsTest, AmountsAreExactWhateverTheirSize) {
  EXPECT_EQ(parse_resources("memory=9999999999999.0001")->get("memory").units, 99'999'999'999'990'001);
  EXPECT_EQ(parse_resources("gpus=0.25")->get("gpus").units, 2'500);
  EXPECT_EQ(parse_resources("license=1e3")->get("license").units, 10'000'000);
  for (const char* text : {"a=", "a=-1", "a=x", "a=1e14", "a=nan", "a=1.2.3", "=1"}) {
    EXPECT_FALSE(parse_resources(text)) << text;
  }
}

}  // namespace
}  // namespace mobula::cluster

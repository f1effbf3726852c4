#include "core/base/settings.h"

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

Result<std::uint64_t> bytes_of(const std::string& text) {
  Settings settings;
  EXPECT_TRUE(settings.set("store_bytes", text, SettingSource::kCommandLine, "--set"));
  return settings.bytes("store_bytes");
}

TEST(SettingsTest, AnAmountOfMemoryHasAUnit) {
  EXPECT_EQ(*bytes_of("1000000"), 1'000'000u);
  EXPECT_EQ(*bytes_of("512M"), 512u << 20);
  EXPECT_EQ(*bytes_of("2GiB"), std::uint64_t{2} << 30);
  EXPECT_EQ(*bytes_of("1.5K"), 1536u);
  EXPECT_EQ(*bytes_of("7B"), 7u);
}

TEST(SettingsTest, WhatIsNoAmountOfMemoryIsRefused) {
  for (const char* text : {"", "M", "1X", "1KM", "-1", "nan", "1KiBB"}) EXPECT_FALSE(bytes_of(text)) << text;
}

TEST(SettingsTest, MoreMemoryThanAnAddressCanTellIsRefused) {
  EXPECT_TRUE(bytes_of("1048576T"));
  for (const char* text : {"1048577T", "999999999999999T", "1e300", "inf"}) EXPECT_FALSE(bytes_of(text)) << text;
}

}  // namespace
}  // namespace mobula::base

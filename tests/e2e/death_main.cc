// The tests run in a process without a cluster; with --scenario=NAME this is one of their drivers, or a process of it.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/death_scenarios.h"

int main(int argc, char** argv) {
  constexpr const char* kOption = "--scenario=";
  const bool plays = argc > 1 && std::strncmp(argv[1], kOption, std::strlen(kOption)) == 0;
  if (!plays && std::getenv("MOBULA_ROLE") == nullptr) {
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
  }
  try {
    const auto session = mobula::init(argc, argv);
    return mobula::testing::play(argv[1] + std::strlen(kOption));
  } catch (const mobula::Error& error) {
    std::printf("init failed: %s\n", error.what());
    return 3;
  }
}

// The tests run in a process without a cluster; with --scenario=NAME this is one of their drivers, or a process of it:
// all of them get the driver's arguments, so a process without one would be a mistake.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/misuse_scenarios.h"

int main(int argc, char** argv) {
  constexpr const char* kOption = "--scenario=";
  const bool plays = argc > 1 && std::strncmp(argv[1], kOption, std::strlen(kOption)) == 0;
  if (!plays && std::getenv("MOBULA_ROLE") != nullptr) {
    std::fputs("usage: misuse --scenario=NAME\n", stderr);
    return 2;
  }
  if (!plays) {
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
  }
  try {
    return mobula::testing::misuse(argv[1] + std::strlen(kOption), argc, argv);
  } catch (const mobula::Error& error) {
    std::printf("not caught: %s\n", error.report().c_str());
    return 3;
  }
}

#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/leak_check.h"

namespace mobula::testing {

// For tests of drivers in processes of their own.
class Deaths : public ::testing::Test {
 protected:
  // Less the gates of a driver that was killed, which are the test's own.
  std::vector<std::string> leftovers() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(leaks_.directory())) {
      if (entry.path().filename().string().starts_with("gate-")) std::filesystem::remove_all(entry.path(), ignored);
    }
    return leaks_.leftovers(std::chrono::seconds(5));
  }
  LeakCheck leaks_;
};

}  // namespace mobula::testing

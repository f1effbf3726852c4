// The driver of the API's tests: one embedded cluster for all of them, as the environment describes it.
#include <gtest/gtest.h>

#include <mobula/mobula.h>

int main(int argc, char** argv) {
  const auto session = mobula::init(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

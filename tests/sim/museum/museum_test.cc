#include "tests/sim/museum/museum.h"

#include <gtest/gtest.h>

namespace mobula::sim {
namespace {

class Museum : public ::testing::TestWithParam<Exhibit> {};

TEST_P(Museum, TheSeedShowsTheMistakeAndPassesWithoutIt) {
  EXPECT_NE(run_planted(GetParam(), GetParam().mistake, GetParam().seed), "");
  EXPECT_EQ(run_planted(GetParam(), objstore::Mistake::kNone, GetParam().seed), "");
}

INSTANTIATE_TEST_SUITE_P(Exhibits, Museum, ::testing::ValuesIn(exhibits().begin(), exhibits().end()),
                         [](const auto& exhibit) {
                           std::string name = exhibit.param.name;
                           for (char& c : name) c = c == ' ' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace mobula::sim

#include "tests/sim/museum/sched_museum.h"

#include <gtest/gtest.h>

namespace mobula::sim {
namespace {

class SchedMuseum : public ::testing::TestWithParam<SchedExhibit> {};

TEST_P(SchedMuseum, TheSeedShowsTheMistakeAndPassesWithoutIt) {
  EXPECT_NE(run_planted(GetParam().mistake, GetParam().seed), "");
  EXPECT_EQ(run_planted(scheduler::Mistake::kNone, GetParam().seed), "");
}

INSTANTIATE_TEST_SUITE_P(Exhibits, SchedMuseum, ::testing::ValuesIn(sched_exhibits().begin(), sched_exhibits().end()),
                         [](const auto& exhibit) {
                           std::string name = exhibit.param.name;
                           for (char& c : name) c = c == ' ' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace mobula::sim

#include "mobula/archive.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "mobula/mobula.h"
#include "tests/api/local_runtime.h"

namespace mobula {
namespace {

struct ArchiveTest : testing::Test {
  tests::LocalSession session;
};

struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};

class Model {
 public:
  Model() = default;
  explicit Model(int step) : step_(step), weights_(5000, 0.5) {}
  void save(Archive& ar) const { ar(step_, weights_, std::string("temporary")); }
  void load(Archive& ar) {
    std::string word;
    ar(step_, weights_, word);
    if (word != "temporary") throw std::runtime_error("another word");
  }
  bool operator==(const Model&) const = default;

 private:
  int step_ = 0;
  std::vector<double> weights_;
};

TEST_F(ArchiveTest, ValuesComeBackAsTheyWereSaved) {
  const std::map<std::string, std::vector<Point>> paths{{"a", {{1, 2}}}, {"b", {}}};
  const std::vector<float> longs(100'000, 2.5f);
  save_state("state", 7, std::string("text"), paths, longs);
  int number = 0;
  std::string text;
  std::map<std::string, std::vector<Point>> paths_again;
  std::vector<float> longs_again;
  ASSERT_TRUE(load_state("state", number, text, paths_again, longs_again));
  EXPECT_EQ(number, 7);
  EXPECT_EQ(text, "text");
  EXPECT_EQ(paths_again, paths);
  EXPECT_EQ(longs_again, longs);
}

TEST_F(ArchiveTest, WhatWasNeverSavedLoadsNothing) {
  int number = 3;
  EXPECT_FALSE(load_state("nothing", number));
  EXPECT_EQ(number, 3);
}

TEST_F(ArchiveTest, AClassSavesAndLoadsItself) {
  const Model model(9);
  base::Buffer bytes;
  Archive out(bytes);
  model.save(out);
  EXPECT_FALSE(out.reading());
  Model again;
  Archive in(bytes.view());
  EXPECT_TRUE(in.reading());
  again.load(in);
  EXPECT_EQ(again, model);
}

TEST_F(ArchiveTest, OtherValuesThanWereSavedAreAnError) {
  save_state("state", 7);
  int number = 0;
  std::string text;
  EXPECT_THROW(load_state("state", number, number), InvalidArgument);
  EXPECT_THROW(load_state("state", text), InvalidArgument);
  std::int64_t longer = 0;
  EXPECT_THROW(load_state("state", longer), InvalidArgument);
  save_state("text", std::string("seven"));
  EXPECT_THROW(load_state("text", number), InvalidArgument);
}

TEST_F(ArchiveTest, BytesThatAreCutOffAreAnErrorAndNoCrash) {
  base::Buffer bytes;
  Archive out(bytes);
  Model(3).save(out);
  for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 7) {
    Archive in(bytes.view().subspan(0, length));
    Model again;
    EXPECT_THROW(again.load(in), std::exception) << length;
  }
}

TEST_F(ArchiveTest, ARefIsNoState) {
  const Ref<int> ref = put(1);
  EXPECT_THROW(save_state("ref", ref), InvalidArgument);
}

TEST_F(ArchiveTest, OnlyClassesThatSaySoAreSaved) {
  struct Silent {
    int x = 0;
  };
  EXPECT_EQ(detail::persistence_of<Silent>().save, nullptr);
  EXPECT_EQ(detail::persistence_of<Silent>().load, nullptr);
  EXPECT_NE(detail::persistence_of<Model>().save, nullptr);
  EXPECT_NE(detail::persistence_of<Model>().load, nullptr);
}

}  // namespace
}  // namespace mobula

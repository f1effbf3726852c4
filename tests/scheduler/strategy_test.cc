#include "scheduler/strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/cluster_view.h"
#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

using ::testing::HasSubstr;

const auto kA = id<base::NodeId>(1), kB = id<base::NodeId>(2), kC = id<base::NodeId>(3);
const auto kGroup = id<base::PlacementGroupId>(5);

LabelRule rule(const std::string& key, const std::string& selector) { return *parse_label_rule(key, selector); }

NodeView node(const base::NodeId& n, double cpus, Labels labels = {}) {
  return {n, 1, NodeState::kAlive, "", res({{"cpus", cpus}}), res({{"cpus", cpus}}), std::move(labels)};
}

TEST(Selectors, AreReadAsTheyAreWritten) {
  for (const char* text : {"a", "!a", "in(a,b)", "!in(a, b)", "exists", "!exists"}) {
    EXPECT_TRUE(parse_label_rule("zone", text)) << text;
  }
  EXPECT_EQ(rule("zone", "!in( a, b )").to_string(), "zone !in(a,b)");
  EXPECT_EQ(rule("zone", "exists").to_string(), "zone exists");
}

TEST(Selectors, ThatAreMalformedAreRefusedWithASentence) {
  for (const char* text : {"", "!", "in(", "in()", "in(a,)", "in(a", "!!a", "a)", "in(in(a))", "a,b"}) {
    const auto parsed = parse_label_rule("zone", text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().what, HasSubstr("the label zone ")) << text;
  }
  EXPECT_FALSE(parse_label_rule("", "a"));
}

TEST(Labels, ThatNoNodeHasAreNamedWithTheNearestNode) {
  ClusterView view({});
  view.apply(node(kA, 4, {{"zone", "a"}}));
  view.apply(node(kB, 4, {{"zone", "a"}, {"ssd", "yes"}}));
  Strategy strategy;
  strategy.labels = {rule("ssd", "yes"), rule("zone", "in(b,c)")};
  const auto why = view.infeasible(res({{"cpus", 1}}), strategy);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->missing, "label zone in(b,c) wanted, \"a\" there");
  EXPECT_EQ(why->nearest, kB);
  strategy.fallbacks = {{rule("zone", "a")}};
  EXPECT_FALSE(view.infeasible(res({{"cpus", 1}}), strategy));
  EXPECT_EQ(view.infeasible(res({{"cpus", 5}}), strategy)->missing, "cpus=5 wanted, cpus=4 there");
}

TEST(Affinity, ToANodeThatIsNotThereNamesIt) {
  ClusterView view({});
  view.apply(node(kA, 4));
  const Strategy strategy{NodeAffinity{kC, NodeAffinity::Force::kHard, "n7"}, {}};
  EXPECT_THAT(view.infeasible(res({{"cpus", 1}}), strategy)->missing, HasSubstr("\"n7\""));
  const Strategy small{NodeAffinity{kA, NodeAffinity::Force::kHard, "n0"}, {}};
  EXPECT_EQ(view.infeasible(res({{"cpus", 5}}), small)->missing, "cpus=5 wanted, cpus=4 there");
  EXPECT_EQ(view.infeasible(res({{"cpus", 5}}), small)->nearest, kA);
}

TEST(Bundles, ThatCouldNeverTakeATaskRefuseItAtOnce) {
  ClusterView view({});
  view.apply(node(kA, 4, {{"zone", "a"}}));
  Strategy any;
  any.bundle = {kGroup, BundleRef::kAny};
  const base::Resources one = res({{"cpus", 1}}), three = res({{"cpus", 3}});
  EXPECT_FALSE(view.infeasible(three, any)) << "nothing is known of the group yet";
  GroupNews news{kGroup, 1, {}, false, ""};
  news.shapes = {res({{"cpus", 1}}), res({{"cpus", 2}})};
  view.apply(news);
  EXPECT_FALSE(view.infeasible(one, any));
  EXPECT_EQ(view.infeasible(three, any)->missing,
            "no bundle of its placement group can take it; the nearest is bundle 1: cpus=3 wanted, cpus=2 in it");
  Strategy first = any;
  first.bundle.index = 0;
  EXPECT_EQ(view.infeasible(res({{"cpus", 2}}), first)->missing, "bundle 0: cpus=2 wanted, cpus=1 in it");
  first.bundle.index = 2;
  EXPECT_THAT(view.infeasible(one, first)->missing, HasSubstr("bundle 2 of a placement group that has 2"));
  // Where it lies, the node has other labels.
  news.version = 2;
  news.places = {{0, kA}, {1, kA}};
  view.apply(news);
  any.labels = {rule("zone", "b")};
  EXPECT_THAT(view.infeasible(one, any)->missing, HasSubstr("label zone in(b) wanted, \"a\" there"));
}

TEST(Fallbacks, AreTakenInTurnWhereNoNodeBeforeHasRoom) {
  ClusterView view({});
  view.apply(node(kA, 4, {{"zone", "a"}}));
  view.apply(node(kB, 4, {{"zone", "b"}}));
  view.apply(node(kC, 4, {{"zone", "c"}}));
  Strategy strategy;
  strategy.labels = {rule("zone", "c")};
  strategy.fallbacks = {{rule("zone", "b")}};
  const base::Resources all = res({{"cpus", 4}});
  const auto pick = [&] { return view.pick(at(0), {all, strategy, kA, std::nullopt}); };
  EXPECT_EQ(pick(), kC);
  view.set_available(kC, res({{"cpus", 1}}));
  EXPECT_EQ(pick(), kB);
  view.set_available(kB, {});
  EXPECT_EQ(pick(), std::nullopt) << "the third zone was not named";
}

TEST(Beside, FollowsTheActorsThatLiveThereNow) {
  ClusterView view({});
  view.apply(node(kA, 4));
  view.apply(node(kB, 4));
  Strategy near, apart;
  near.beside = {rule("model", "llama")};
  apart.beside = {rule("role", "!cache")};
  const base::Resources one = res({{"cpus", 1}});
  const auto pick = [&](const Strategy& s) { return view.pick(at(0), {one, s, kA, std::nullopt}); };
  EXPECT_EQ(pick(near), std::nullopt);
  EXPECT_FALSE(view.infeasible(one, near)) << "such an actor may come: it waits";
  EXPECT_THAT(view.shortage_now(at(0), {one, near, kA, std::nullopt}).missing, HasSubstr("model in(llama)"));
  EXPECT_EQ(pick(apart), kA);
  view.set_actors(kA, {{"role", "cache"}});
  view.set_actors(kB, {{"model", "llama"}, {"model", "gpt"}});
  EXPECT_EQ(pick(near), kB);
  EXPECT_EQ(pick(apart), kB);
}

TEST(Shortage, NamesWhatIsShortOnTheNodeThatLacksLeast) {
  ClusterView view({});
  view.apply(node(kA, 4));
  view.apply(node(kB, 8));
  view.set_available(kA, res({{"cpus", 1}}));
  view.set_available(kB, {});
  const auto why = view.shortage_now(at(0), {res({{"cpus", 3}}), {}, kA, std::nullopt});
  EXPECT_EQ(why.missing, "cpus=3 wanted, cpus=1 free there");
  EXPECT_EQ(why.nearest, kA);
}

}  // namespace
}  // namespace mobula::scheduler

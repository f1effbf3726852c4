// Placement groups on four nodes, through the public API.  The nodes' topology is made up (CMakeLists.txt): two
// packages of four cores each; n0 and n1 share a switch, so do n2 and n3.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string where() { return context().node; }
int hold(const std::string& gate) { return enter(gate) ? 1 : 0; }
std::string visible_gpus(const std::string& gate) {
  enter(gate);
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  return value == nullptr ? "all" : value;
}
std::vector<std::string> where_children_run(int n) {
  std::vector<Ref<std::string>> refs;
  for (int i = 0; i < n; ++i) refs.push_back(remote<&where>());
  std::vector<std::string> out;
  for (auto& ref : refs) out.push_back(ref.get(kSoon));
  return out;
}

struct Member {
  std::string where() const { return context().node; }
  int rank() const { return self().rank; }
  int pid() const { return ::getpid(); }
};

struct NodeRow {
  std::string name;
  pid_t pid = 0;
};
// By id as context() has it; those that live.
std::map<std::string, NodeRow> nodes() {
  std::map<std::string, NodeRow> out;
  const json status = json::parse(cluster_status_json());
  const std::size_t length = context().node.size();
  for (const auto& node : status["nodes"]) {
    if (node["state"] == "ALIVE") out[node["id"].get<std::string>().substr(0, length)] = {node["name"], node["pid"]};
  }
  return out;
}
std::string name_of(const std::string& id) {
  static const auto known = nodes();
  return known.contains(id) ? known.at(id).name : "?";
}
int switch_of(const std::string& id) { return (name_of(id).at(1) - '0') / 2; }

std::vector<std::string> bundle_nodes(const PlacementGroup& group) {
  std::vector<std::string> out;
  for (int i = 0; i < static_cast<int>(group.size()); ++i) {
    out.push_back(remote<&where>.with({.placement_group = group, .bundle = i})().get(kSoon));
  }
  return out;
}

TEST(Groups, of_strict_spread_have_a_node_for_each_bundle) {
  const auto group =
      placement_group({{.cpus = 1}, {.cpus = 1}, {.cpus = 1}, {.cpus = 1}}, {.placement = Placement::strict_spread});
  ASSERT_TRUE(group.wait(kSoon));
  const auto found = bundle_nodes(group);
  EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), 4u);
  remove(group);
}

TEST(Groups, of_strict_pack_lie_on_one_node_or_behind_one_switch) {
  const auto one = placement_group({{.cpus = 2}, {.cpus = 2}}, {.placement = Placement::strict_pack});
  one.ready().get(kSoon);
  const auto together = bundle_nodes(one);
  EXPECT_EQ(together[0], together[1]);

  const auto behind = placement_group({{.cpus = 5}, {.cpus = 5}, {.cpus = 2}},
                                      {.placement = Placement::strict_pack, .level = "switch"});
  behind.ready().get(kSoon);
  const auto found = bundle_nodes(behind);
  EXPECT_NE(found[0], found[1]);
  EXPECT_EQ(switch_of(found[0]), switch_of(found[1]));
  EXPECT_EQ(switch_of(found[0]), switch_of(found[2]));

  const auto apart = placement_group.with({.placement = Placement::strict_spread, .level = "switch"})({{}, {}});
  apart.ready().get(kSoon);
  const auto two = bundle_nodes(apart);
  EXPECT_NE(switch_of(two[0]), switch_of(two[1]));
  remove(one);
  remove(behind);
  remove(apart);
}

TEST(Groups, limit_what_runs_inside_to_what_they_reserved) {
  const Gate gate;
  const auto group = placement_group({{.cpus = 1}, {.cpus = 1}}, {.placement = Placement::pack});
  std::vector<Ref<int>> running;
  // Any bundle: two run, the third waits until one of them has ended.
  for (int i = 0; i < 3; ++i) running.push_back(remote<&hold>.with({.placement_group = group})(gate.path()));
  EXPECT_TRUE(gate.wait_entered(2));
  EXPECT_FALSE(gate.wait_entered(3, std::chrono::milliseconds(200)));
  gate.open();
  for (auto& ref : running) EXPECT_EQ(ref.get(kSoon), 1);
  remove(group);
}

TEST(Groups, hold_their_resources_against_others_until_they_are_removed) {
  std::vector<Bundle> all(4, Bundle{.cpus = 8});
  const auto first = placement_group(all, {.placement = Placement::strict_spread});
  ASSERT_TRUE(first.wait(kSoon));
  const auto second = placement_group(all, {.placement = Placement::strict_spread});
  EXPECT_FALSE(second.wait(std::chrono::milliseconds(300)));
  remove(first);
  EXPECT_TRUE(second.wait(kSoon));
  remove(second);
  EXPECT_NE(remote<&where>().get(kSoon), "");  // And tasks find room again.
}

TEST(Groups, that_no_node_could_ever_hold_say_which_bundle_and_resource) {
  const auto group = placement_group({{.cpus = 1}, {.cpus = 1, .gpus = 3}});
  try {
    group.ready().get(kSoon);
    ADD_FAILURE() << "it is ready";
  } catch (const Unschedulable& error) {
    EXPECT_THAT(error.what(), HasSubstr("bundle 1 (cpus=1 gpus=3) fits on no node: gpus=3 wanted, gpus=2 there"));
    EXPECT_THAT(error.report(), HasSubstr("nearest node"));
  }
  EXPECT_THROW((void)remote<&where>.with({.placement_group = group})().get(kSoon), Unschedulable);
  const auto five = placement_group(std::vector<Bundle>(5), {.placement = Placement::strict_spread});
  EXPECT_THROW((void)five.wait(kSoon), Unschedulable);
}

TEST(Groups, are_found_by_name_and_have_it_alone) {
  const auto group = placement_group({{.cpus = 1}}, {.name = "gang"});
  const auto found = get_placement_group("gang");
  EXPECT_EQ(found.id(), group.id());
  EXPECT_EQ(found.size(), 1u);
  EXPECT_THROW((void)placement_group({{.cpus = 1}}, {.name = "gang"}), InvalidArgument);
  remove(group);
  EXPECT_THROW((void)get_placement_group("gang"), InvalidArgument);
  EXPECT_THROW((void)placement_group({{}}, {.lifetime = Lifetime::detached}), InvalidArgument);
}

TEST(Groups, that_are_removed_end_what_runs_inside) {
  const Gate gate;
  const auto group = placement_group({{.cpus = 1}, {.cpus = 1}});
  const auto member = actor<Member>.with({.cpus = 1, .placement_group = group, .bundle = 0})();
  const int pid = member.at<&Member::pid>()().get(kSoon);
  const auto task = remote<&hold>.with({.max_retries = 0, .placement_group = group, .bundle = 1})(gate.path());
  const auto waiting = remote<&where>.with({.placement_group = group, .bundle = 1})();
  ASSERT_TRUE(gate.wait_entered(1));
  remove(group);
  EXPECT_THROW((void)member.at<&Member::pid>()().get(kSoon), ActorDied);
  EXPECT_THROW((void)task.get(kSoon), Error);
  EXPECT_THROW((void)waiting.get(kSoon), Unschedulable);
  for (int i = 0; i < 2000 && ::kill(pid, 0) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(::kill(pid, 0), 0);
  remove(group);  // Again: harmless.
}

TEST(Groups, of_actors_reserve_a_bundle_for_each_rank) {
  const auto team = group<Member>.with({.size = 4, .cpus = 1, .placement = Placement::strict_spread})();
  const auto found = team.each<&Member::where>()().get(kSoon);
  EXPECT_EQ(std::set<std::string>(found.begin(), found.end()).size(), 4u);
  const auto near = group<Member>.with({.size = 2, .cpus = 1, .placement = Placement::strict_pack, .level = "numa"})();
  const auto pair = near.each<&Member::where>()().get(kSoon);
  EXPECT_EQ(pair[0], pair[1]);
  EXPECT_THROW(
      (void)(group<Member>.with({.size = 5, .placement = Placement::strict_spread})()[4].at<&Member::rank>()().get(
          kSoon)),
      Error);
}

TEST(Groups, travel_as_arguments_and_lie_by_labels) {
  const auto group = placement_group({{.cpus = 1}}, {.labels = {{"mobula.topology/switch", "s1"}}});
  ASSERT_TRUE(group.wait(kSoon));
  EXPECT_EQ(switch_of(bundle_nodes(group)[0]), 1);
  remove(group);
}

TEST(Groups, capture_what_tasks_inside_call) {
  const auto open = placement_group({{.cpus = 1}, {.cpus = 1}}, {.placement = Placement::strict_pack});
  const auto closed = placement_group(
      {{.cpus = 1}, {.cpus = 1}},
      {.placement = Placement::strict_pack, .labels = {{"mobula.topology/switch", "s1"}}, .capture_child_tasks = true});
  ASSERT_TRUE(open.wait(kSoon) && closed.wait(kSoon));
  const auto inside = bundle_nodes(closed)[0];
  const auto children = remote<&where_children_run>.with({.placement_group = closed, .bundle = 0})(8).get(kSoon);
  for (const std::string& node : children) EXPECT_EQ(node, inside);
  remove(open);
  remove(closed);
}

TEST(Groups, give_each_task_the_gpus_of_its_lease) {
  const Gate gate;
  const auto pair =
      placement_group({{.cpus = 1, .gpus = 1}, {.cpus = 1, .gpus = 1}}, {.placement = Placement::strict_pack});
  std::vector<Ref<std::string>> refs;
  for (int i = 0; i < 2; ++i) {
    refs.push_back(remote<&visible_gpus>.with({.gpus = 1, .placement_group = pair, .bundle = i})(gate.path()));
  }
  ASSERT_TRUE(gate.wait_entered(2));
  gate.open();
  EXPECT_EQ(refs[0].get(kSoon), "0");
  EXPECT_EQ(refs[1].get(kSoon), "1");
  remove(pair);
  const Gate halves;
  std::vector<Ref<std::string>> shared;
  const auto one = placement_group({{.cpus = 2, .gpus = 1}}, {.placement = Placement::strict_pack});
  for (int i = 0; i < 2; ++i) {
    shared.push_back(remote<&visible_gpus>.with({.gpus = 0.5, .placement_group = one})(halves.path()));
  }
  ASSERT_TRUE(halves.wait_entered(2));
  halves.open();
  EXPECT_EQ(shared[0].get(kSoon), shared[1].get(kSoon));
  remove(one);
}

struct Cache {
  std::string where() const { return context().node; }
};

TEST(Choice, by_labels_that_no_node_has_is_refused_with_the_label_and_the_nearest_node) {
  try {
    (void)remote<&where>.with({.labels = {{"mobula.topology/switch", "s7"}}})().get(kSoon);
    ADD_FAILURE() << "it ran";
  } catch (const Unschedulable& error) {
    EXPECT_THAT(error.report(), HasSubstr("label mobula.topology/switch in(s7) wanted, \"s"));
    EXPECT_THAT(error.report(), HasSubstr("nearest node"));
  }
  const auto member = actor<Member>.with({.labels = {{"mobula.topology/switch", "!exists"}}})();
  EXPECT_THROW((void)member.at<&Member::where>()().get(kSoon), Unschedulable);
  const auto group = placement_group({{.cpus = 1}}, {.labels = {{"mobula.topology/switch", "s7"}}});
  EXPECT_THROW((void)group.wait(kSoon), Unschedulable);
  EXPECT_THROW((void)remote<&where>.with({.labels = {{"zone", "in(a"}}}), InvalidArgument);
  EXPECT_THROW((void)placement_group({{}}, {.labels = {{"zone", ""}}}), InvalidArgument);
}

TEST(Choice, takes_fallbacks_in_turn) {
  const auto node = remote<&where>
                        .with({.labels = {{"mobula.topology/switch", "s7"}},
                               .fallbacks = {{{"mobula.topology/switch", "s8"}}, {{"mobula.topology/switch", "s1"}}}})()
                        .get(kSoon);
  EXPECT_EQ(switch_of(node), 1);
}

TEST(Choice, a_task_that_no_bundle_could_ever_hold_is_refused_at_once) {
  const auto group = placement_group({{.cpus = 1}, {.cpus = 2}});
  try {
    (void)remote<&where>.with({.cpus = 3, .placement_group = group})().get(kSoon);
    ADD_FAILURE() << "it ran";
  } catch (const Unschedulable& error) {
    EXPECT_THAT(error.report(), HasSubstr("bundle 1: cpus=3 wanted, cpus=2 in it"));
  }
  EXPECT_THROW((void)remote<&where>.with({.placement_group = group, .bundle = 5})().get(kSoon), Unschedulable);
  const auto member = actor<Member>.with({.gpus = 1, .placement_group = group})();
  EXPECT_THROW((void)member.at<&Member::where>()().get(kSoon), Unschedulable);
  remove(group);
}

TEST(Choice, beside_actors_follows_their_labels) {
  std::set<std::string> apart;
  std::vector<ActorHandle<Cache>> caches;
  for (int i = 0; i < 4; ++i) {
    caches.push_back(actor<Cache>.with({.beside = {{"role", "!cache"}}, .actor_labels = {{"role", "cache"}}})());
  }
  for (const auto& cache : caches) apart.insert(cache.at<&Cache::where>()().get(kSoon));
  EXPECT_EQ(apart.size(), 4u);
  const auto model =
      actor<Cache>.with({.labels = {{"mobula.topology/switch", "s1"}}, .actor_labels = {{"model", "llama"}}})();
  const std::string there = model.at<&Cache::where>()().get(kSoon);
  EXPECT_EQ(remote<&where>.with({.beside = {{"model", "llama"}}})().get(kSoon), there);
  const auto user = actor<Member>.with({.beside = {{"model", "llama"}}})();
  EXPECT_EQ(user.at<&Member::where>()().get(kSoon), there);
}

// Alone: it takes a node away.
TEST(RayletKilled, its_bundles_are_placed_anew_and_the_others_stay) {
  const auto group = placement_group({{.cpus = 2}, {.cpus = 2}, {.cpus = 2}}, {.placement = Placement::strict_spread});
  ASSERT_TRUE(group.wait(kSoon));
  const auto before = bundle_nodes(group);
  const auto rows = nodes();
  const std::string mine = context().node;
  int victim = -1;
  for (int i = 0; i < 3; ++i) {
    if (before[static_cast<std::size_t>(i)] != mine) victim = i;
  }
  const auto survivor = actor<Member>.with({.cpus = 1, .placement_group = group, .bundle = victim == 0 ? 1 : 0})();
  const int pid = survivor.at<&Member::pid>()().get(kSoon);
  const auto moved = actor<Member>.with(
      {.cpus = 1, .max_restarts = 1, .max_task_retries = 3, .placement_group = group, .bundle = victim})();
  EXPECT_EQ(moved.at<&Member::where>()().get(kSoon), before[static_cast<std::size_t>(victim)]);

  const std::string lost = before[static_cast<std::size_t>(victim)];
  ASSERT_EQ(::kill(rows.at(lost).pid, SIGKILL), 0);
  // Until then a worker there may still run what it is sent.
  for (int i = 0; i < 2000 && nodes().contains(lost); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const auto again = remote<&where>.with({.placement_group = group, .bundle = victim})().get(kSoon);
  EXPECT_NE(again, lost);
  EXPECT_TRUE(group.wait(kSoon));
  auto after = bundle_nodes(group);
  EXPECT_EQ(after[static_cast<std::size_t>(victim)], again);
  EXPECT_EQ(std::set<std::string>(after.begin(), after.end()).size(), 3u);
  EXPECT_EQ(survivor.at<&Member::pid>()().get(kSoon), pid) << "the others' bundles stay as they were";
  EXPECT_EQ(moved.at<&Member::where>()().get(kSoon), again) << "an actor comes back inside its bundle";
}

}  // namespace
}  // namespace mobula::testing

// Real clusters of this host, from start to end, in all ways that they end.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error_info.h"
#include "core/base/limits.h"
#include "core/cluster/convert.h"
#include "core/cluster/embedded.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/os/socket.h"
#include "tests/node/process_roles.h"
#include "tests/node/test_driver.h"
#include "tests/support/leak_check.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using cluster::EmbeddedCluster;
using ::testing::IsEmpty;

base::Resources cpus(double n) {
  base::Resources out;
  out.set("cpus", base::Amount::of(n));
  return out;
}

cluster::EmbeddedOptions small(unsigned nodes = 1) {
  cluster::EmbeddedOptions options;
  options.nodes = nodes;
  options.resources = cpus(2);
  options.store_bytes = 64u << 20;
  return options;
}

class ClusterTest : public ::testing::Test {
 protected:
  void start(const cluster::EmbeddedOptions& options = small()) {
    auto started = EmbeddedCluster::start(options);
    ASSERT_TRUE(started.ok()) << started.error().what;
    cluster_ = std::move(*started);
  }
  void TearDown() override {
    driver_.reset();
    cluster_.reset();
    EXPECT_THAT(leaks_.leftovers(5s), IsEmpty());
  }
  std::string join(std::vector<std::string> extra_env = {}) {
    driver_ = std::make_unique<TestDriver>();
    return driver_->connect(cluster_->raylet_address(), cluster_->secret(), std::move(extra_env));
  }

  LeakCheck leaks_;
  std::unique_ptr<EmbeddedCluster> cluster_;
  std::unique_ptr<TestDriver> driver_;
};

TEST_F(ClusterTest, starts_and_ends_without_a_trace) {
  const auto begin = std::chrono::steady_clock::now();
  start();
  const auto ready = std::chrono::steady_clock::now();
  EXPECT_EQ(cluster_->children().size(), 2u);
  cluster_.reset();
  const auto end = std::chrono::steady_clock::now();
  std::printf("one node: %.1f ms to start, %.1f ms to end\n",
              std::chrono::duration<double, std::milli>(ready - begin).count(),
              std::chrono::duration<double, std::milli>(end - ready).count());
}

TEST_F(ClusterTest, four_nodes_start_side_by_side) {
  const auto begin = std::chrono::steady_clock::now();
  start(small(4));
  std::printf("four nodes: %.1f ms to start\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  EXPECT_EQ(cluster_->raylet_addresses().size(), 4u);
}

TEST_F(ClusterTest, a_demand_is_granted_a_worker_from_the_zygote) {
  start();
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(join(), "");
  driver_->demand(1, 1, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 1; }));
  std::printf("first grant %.1f ms after the driver connected\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  EXPECT_GT(driver_->grants[0].worker().pid(), 0);
  EXPECT_TRUE(os::process_exists(static_cast<pid_t>(driver_->grants[0].worker().pid())));
}

TEST_F(ClusterTest, demands_beyond_one_node_are_granted_by_the_others) {
  start(small(3));
  ASSERT_EQ(join(), "");
  driver_->demand(1, 6, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 6; }));
  std::set<std::string> nodes;
  for (const auto& grant : driver_->grants) nodes.insert(grant.worker().node_id());
  EXPECT_EQ(nodes.size(), 3u);
}

TEST_F(ClusterTest, what_no_node_could_ever_serve_is_refused_at_once) {
  start(small(2));
  ASSERT_EQ(join(), "");
  base::Resources shape = cpus(1);
  shape.set("gpus", base::Amount::of(4));
  driver_->demand(1, 1, shape);
  ASSERT_TRUE(driver_->wait([&] { return !driver_->unschedulable.empty(); }, 2s));
  EXPECT_THAT(driver_->unschedulable[0].what(), ::testing::HasSubstr("gpus"));
}

TEST_F(ClusterTest, the_death_of_a_worker_is_told_with_its_signal) {
  start();
  ASSERT_EQ(join(), "");
  driver_->demand(1, 1, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  ::kill(static_cast<pid_t>(driver_->grants[0].worker().pid()), SIGSEGV);
  ASSERT_TRUE(driver_->wait([&] { return !driver_->lost.empty(); }, 2s));
  std::printf("death told after %.2f ms\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  EXPECT_EQ(driver_->lost[0].lease_id(), driver_->grants[0].lease_id());
  EXPECT_EQ(driver_->lost[0].cause().kind(), proto::ExitCause::SIGNAL);
  EXPECT_EQ(driver_->lost[0].cause().code(), SIGSEGV);
}

TEST_F(ClusterTest, lines_of_workers_reach_the_driver_and_repeats_are_counted) {
  start();
  ASSERT_EQ(join({"NODE_TEST=speak"}), "");
  driver_->demand(1, 1, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->lines.size() >= 2; }));
  std::set<std::string> texts;
  for (const auto& line : driver_->lines) {
    texts.insert(line.text());
    EXPECT_EQ(line.node(), "n0");
    EXPECT_GT(line.pid(), 0);
    if (line.is_stderr()) {
      EXPECT_GE(line.repeated_times(), 1u);
    }
  }
  EXPECT_EQ(texts, (std::set<std::string>{"hello from a worker", "the same line"}));
  EXPECT_TRUE(driver_->finish_job());
}

TEST_F(ClusterTest, a_job_that_finishes_leaves_no_worker) {
  start(small(2));
  ASSERT_EQ(join(), "");
  driver_->demand(1, 4, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 4; }));
  EXPECT_TRUE(driver_->finish_job());
  for (const auto& grant : driver_->grants) EXPECT_FALSE(os::process_exists(static_cast<pid_t>(grant.worker().pid())));
}

TEST_F(ClusterTest, the_gcs_keeps_keys_and_values_apart_by_namespace) {
  start(small(2));
  ASSERT_EQ(join(), "");
  const auto ask = [&](proto::MessageType type, const proto::KeyValue& request, proto::KeyValue* reply = nullptr) {
    proto::KeyValue ignored;
    return driver_->ask(type, request, reply == nullptr ? ignored : *reply);
  };
  proto::KeyValue entry;
  entry.set_ns("a");
  entry.set_key("bc");
  entry.set_value("one");
  proto::KeyValue reply;
  EXPECT_EQ(ask(proto::KV_PUT, entry, &reply), "");
  EXPECT_FALSE(reply.found());
  entry.set_value("two");  // The first stays, unless it is told otherwise.
  EXPECT_EQ(ask(proto::KV_PUT, entry, &reply), "");
  EXPECT_TRUE(reply.found());
  EXPECT_EQ(ask(proto::KV_GET, entry, &reply), "");
  EXPECT_EQ(reply.value(), "one");
  entry.set_overwrite(true);
  EXPECT_EQ(ask(proto::KV_PUT, entry), "");
  EXPECT_EQ(ask(proto::KV_GET, entry, &reply), "");
  EXPECT_EQ(reply.value(), "two");

  proto::KeyValue other;
  other.set_ns("ab");
  other.set_key("c");
  EXPECT_EQ(ask(proto::KV_GET, other, &reply), "");
  EXPECT_FALSE(reply.found());

  EXPECT_EQ(ask(proto::KV_DELETE, entry, &reply), "");
  EXPECT_TRUE(reply.found());
  EXPECT_EQ(ask(proto::KV_DELETE, entry, &reply), "");
  EXPECT_FALSE(reply.found());
  EXPECT_EQ(ask(proto::KV_GET, entry, &reply), "");
  EXPECT_FALSE(reply.found());

  other.set_key(std::string(base::kNameBytesMax, 'k'));
  EXPECT_THAT(ask(proto::KV_PUT, other), ::testing::HasSubstr("longer than"));
}

TEST_F(ClusterTest, a_program_with_threads_before_init_gets_its_workers_by_exec) {
  start();
  ASSERT_EQ(join({"NODE_TEST=threads"}), "");
  driver_->demand(1, 2, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 2; }));
}

TEST_F(ClusterTest, a_program_whose_workers_crash_at_the_start_ends_in_an_error) {
  start();
  ASSERT_EQ(join({"NODE_TEST=crash-on-start"}), "");
  driver_->demand(1, 1, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return !driver_->unschedulable.empty(); }, 10s));
  EXPECT_THAT(driver_->unschedulable[0].what(), ::testing::HasSubstr("SIGSEGV"));
}

TEST_F(ClusterTest, an_actor_whose_workers_crash_at_the_start_dies_with_the_evidence) {
  start(small(2));
  ASSERT_EQ(join({"NODE_TEST=crash-on-start"}), "");
  proto::RegisterActor request;
  proto::ActorSpec& spec = *request.mutable_spec();
  spec.set_actor_id(base::derive<base::ActorId>(driver_->job, 1).bytes());
  spec.set_job_id(driver_->job.bytes());
  spec.mutable_owner()->set_worker_id(driver_->id.bytes());
  spec.mutable_owner()->set_node_id(driver_->registered.node_id());
  spec.set_class_name("Counter");
  proto::ActorInfo info;
  ASSERT_EQ(driver_->ask(proto::REGISTER_ACTOR, request, info), "");
  proto::ActorQuery query;
  query.set_actor_id(spec.actor_id());
  ASSERT_EQ(driver_->ask(proto::SUBSCRIBE_ACTOR, query, info), "");
  driver_->actors.push_back(info);
  ASSERT_TRUE(driver_->wait([&] { return driver_->actors.back().state() == proto::ActorInfo::DEAD; }, 30s));
  const auto error = base::decode_error_info(base::as_bytes(driver_->actors.back().error()));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind, base::ErrorKind::kUnschedulable);
  EXPECT_THAT(error->what, ::testing::HasSubstr("SIGSEGV"));
  EXPECT_THAT(error->evidence, ::testing::Contains(::testing::HasSubstr("starts failed in a row")));
  EXPECT_THAT(error->evidence, ::testing::Contains(::testing::HasSubstr("on 2 nodes")));
  EXPECT_THAT(error->evidence, ::testing::Contains("it wrote: about to crash"));
  EXPECT_FALSE(error->remedy.empty());
}

TEST_F(ClusterTest, an_actor_gets_a_worker_of_its_own_and_its_death_is_told_with_the_cause) {
  start(small(2));
  ASSERT_EQ(join(), "");
  proto::RegisterActor request;
  proto::ActorSpec& spec = *request.mutable_spec();
  const auto id = base::derive<base::ActorId>(driver_->job, 1);
  spec.set_actor_id(id.bytes());
  spec.set_job_id(driver_->job.bytes());
  spec.mutable_owner()->set_worker_id(driver_->id.bytes());
  spec.mutable_owner()->set_node_id(driver_->registered.node_id());
  spec.set_class_name("Counter");
  spec.set_name("the counter");
  spec.set_ns(driver_->registered.ns());
  spec.set_max_restarts(1);
  *spec.mutable_resources() = cluster::to_proto(cpus(1));
  proto::ActorInfo info;
  ASSERT_EQ(driver_->ask(proto::REGISTER_ACTOR, request, info), "");
  proto::ActorQuery query;
  query.set_name("the counter");
  query.set_ns(driver_->registered.ns());
  ASSERT_EQ(driver_->ask(proto::SUBSCRIBE_ACTOR, query, info), "");
  driver_->actors.push_back(info);
  const auto is = [&](proto::ActorInfo::State state, std::uint64_t incarnation) {
    return driver_->actors.back().state() == state && driver_->actors.back().incarnation() == incarnation;
  };
  ASSERT_TRUE(driver_->wait([&] { return is(proto::ActorInfo::ALIVE, 0); }));
  const auto first = driver_->actors.back();
  EXPECT_GT(first.address().pid(), 0);
  ::kill(static_cast<pid_t>(first.address().pid()), SIGABRT);
  ASSERT_TRUE(driver_->wait([&] { return is(proto::ActorInfo::ALIVE, 1); }));
  EXPECT_NE(driver_->actors.back().address().pid(), first.address().pid());
  ::kill(static_cast<pid_t>(driver_->actors.back().address().pid()), SIGABRT);
  ASSERT_TRUE(driver_->wait([&] { return driver_->actors.back().state() == proto::ActorInfo::DEAD; }));
  const auto error = base::decode_error_info(base::as_bytes(driver_->actors.back().error()));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind, base::ErrorKind::kActorDied);
  EXPECT_THAT(error->what, ::testing::HasSubstr("SIGABRT"));
}

TEST_F(ClusterTest, actors_are_made_many_a_second) {
  auto options = small();
  options.resources = cpus(200);
  options.prestart = 2;
  start(options);
  ASSERT_EQ(join(), "");
  constexpr int kActors = 100;
  const auto begin = std::chrono::steady_clock::now();
  int alive = 0;
  std::set<std::string> done;
  for (int i = 0; i < kActors; ++i) {
    proto::RegisterActor request;
    proto::ActorSpec& spec = *request.mutable_spec();
    spec.set_actor_id(base::derive<base::ActorId>(driver_->job, static_cast<std::uint64_t>(i + 1)).bytes());
    spec.set_job_id(driver_->job.bytes());
    spec.mutable_owner()->set_worker_id(driver_->id.bytes());
    spec.mutable_owner()->set_node_id(driver_->registered.node_id());
    spec.set_class_name("Counter");
    *spec.mutable_resources() = cluster::to_proto(cpus(1));
    driver_->rpc().call(
        proto::REGISTER_ACTOR, request, 10s,
        [this, &alive, &done, id = spec.actor_id()](base::Result<rpc::Message> reply) {
          ASSERT_TRUE(reply.ok());
          proto::ActorQuery query;
          query.set_actor_id(id);
          driver_->rpc().ask<proto::ActorInfo>(
              proto::SUBSCRIBE_ACTOR, query, 10s, [&alive, &done](base::Result<proto::ActorInfo> info) {
                if (info && info->state() == proto::ActorInfo::ALIVE && done.insert(info->actor_id()).second) ++alive;
              });
        });
  }
  ASSERT_TRUE(driver_->wait(
      [&] {
        for (const auto& info : driver_->actors) {
          if (info.state() == proto::ActorInfo::ALIVE && done.insert(info.actor_id()).second) ++alive;
        }
        driver_->actors.clear();
        return alive == kActors;
      },
      30s));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%.0f actors a second, a process each\n", kActors / took.count());
}

TEST_F(ClusterTest, a_driver_of_another_wire_version_is_refused_with_both_versions) {
  start();
  driver_ = std::make_unique<TestDriver>();
  driver_->wire_version = base::kWireVersion + 1;
  const std::string refusal = driver_->connect(cluster_->raylet_address(), cluster_->secret());
  EXPECT_THAT(refusal, ::testing::HasSubstr("wire version " + std::to_string(base::kWireVersion + 1)));
  EXPECT_THAT(refusal, ::testing::HasSubstr("against " + std::to_string(base::kWireVersion)));
  EXPECT_THAT(refusal, ::testing::HasSubstr("build both"));
}

TEST_F(ClusterTest, a_raylet_of_another_wire_version_is_refused_with_both_versions) {
  start();
  driver_ = std::make_unique<TestDriver>();
  proto::NodeRegister request;
  request.set_node_id(os::random_id<base::NodeId>().bytes());
  request.set_incarnation(1);
  request.set_name("stranger");
  request.set_wire_version(base::kWireVersion + 1);
  std::optional<proto::NodeRegistered> answer;
  auto channel =
      rpc::Rpc::connect(driver_->loop(), cluster_->gcs_address(), driver_->channel_options(cluster_->secret()), {});
  ASSERT_TRUE(channel.ok());
  (*channel)->ask<proto::NodeRegistered>(
      proto::NODE_REGISTER, request, 10s,
      [&](base::Result<proto::NodeRegistered> reply) { answer = reply ? *reply : proto::NodeRegistered(); });
  ASSERT_TRUE(driver_->wait([&] { return answer.has_value(); }));
  EXPECT_FALSE(answer->accepted());
  EXPECT_THAT(answer->why_not(), ::testing::HasSubstr("wire version " + std::to_string(base::kWireVersion + 1)));
  EXPECT_THAT(answer->why_not(), ::testing::HasSubstr("this cluster " + std::to_string(base::kWireVersion)));
  channel->reset();
}

// A binary that was built anew under a running job.
TEST_F(ClusterTest, workers_of_another_build_are_refused_with_both_build_ids) {
  start();
  driver_ = std::make_unique<TestDriver>();
  driver_->build_id = "00c0ffee";
  ASSERT_EQ(driver_->connect(cluster_->raylet_address(), cluster_->secret()), "");
  driver_->demand(1, 1, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return !driver_->unschedulable.empty(); }, 20s));
  EXPECT_THAT(driver_->unschedulable[0].what(),
              ::testing::AllOf(::testing::HasSubstr("(build-id 00c0ffee) is not on this node"),
                               ::testing::HasSubstr("the file at its path has build-id " + os::self_build_id())));
}

TEST_F(ClusterTest, a_raylet_that_stands_still_is_fenced_and_ends_when_it_goes_on) {
  start(small(2));
  ASSERT_EQ(join(), "");
  const pid_t raylet = cluster_->children()[2];
  ::kill(raylet, SIGSTOP);
  ASSERT_TRUE(driver_->wait([&] { return !driver_->dead_nodes.empty(); }, 8s));
  ::kill(raylet, SIGCONT);
  siginfo_t info{};
  EXPECT_TRUE(driver_->wait(
      [&] {
        return ::waitid(P_PID, static_cast<id_t>(raylet), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == raylet;
      },
      5s));
}

TEST_F(ClusterTest, garbage_on_every_listener_is_survived) {
  start(small(2));
  for (int round = 0; round < 20; ++round) {
    for (const auto& path :
         {cluster_->gcs_address(), cluster_->raylet_addresses()[0], cluster_->raylet_addresses()[1]}) {
      auto socket = os::connect_unix(path.substr(5));
      ASSERT_TRUE(socket.ok());
      std::vector<std::byte> noise(1 + static_cast<std::size_t>(round) * 300);
      os::fill_random(noise.data(), noise.size());
      (void)os::send_some(*socket, noise);
    }
  }
  ASSERT_EQ(join(), "");
  driver_->demand(1, 1, cpus(1));
  EXPECT_TRUE(driver_->wait([&] { return driver_->grants.size() == 1; }));
}

TEST_F(ClusterTest, the_death_of_the_gcs_ends_the_cluster_and_is_told) {
  start(small(2));
  ASSERT_EQ(join(), "");
  driver_->demand(1, 2, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 2; }));
  ::kill(cluster_->children()[0], SIGKILL);
  ASSERT_TRUE(driver_->wait([&] { return driver_->down.size() >= 2; }, 5s));
  EXPECT_THAT(driver_->down[0], ::testing::HasSubstr("GCS"));
  driver_.reset();
  cluster_.reset();
}

TEST_F(ClusterTest, the_death_of_another_raylet_is_told_and_its_workers_die_with_it) {
  start(small(2));
  ASSERT_EQ(join(), "");
  driver_->demand(1, 4, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 4; }));
  const auto begin = std::chrono::steady_clock::now();
  ::kill(cluster_->children()[2], SIGKILL);
  ASSERT_TRUE(driver_->wait([&] { return !driver_->dead_nodes.empty() && driver_->lost.size() == 2; }, 5s));
  std::printf("node death told after %.0f ms\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  for (const auto& grant : driver_->grants) {
    if (grant.worker().node_id() == driver_->registered.node_id()) continue;
    EXPECT_TRUE(driver_->wait([&] { return !os::process_exists(static_cast<pid_t>(grant.worker().pid())); }, 2s));
  }
}

TEST_F(ClusterTest, a_driver_that_vanishes_takes_its_job_with_it) {
  start();
  ASSERT_EQ(join(), "");
  driver_->demand(1, 2, cpus(1));
  ASSERT_TRUE(driver_->wait([&] { return driver_->grants.size() == 2; }));
  const auto grants = driver_->grants;
  ASSERT_EQ(join(), "");  // Another driver; the first one's channel closes without a word.
  for (const auto& grant : grants) {
    EXPECT_TRUE(driver_->wait([&] { return !os::process_exists(static_cast<pid_t>(grant.worker().pid())); }, 5s));
  }
}

TEST_F(ClusterTest, a_wrong_secret_is_refused) {
  start();
  const auto other = os::Secret::generate();
  TestDriver stranger;
  EXPECT_NE(stranger.connect(cluster_->raylet_address(), other), "");
  TestDriver other_stranger;
  EXPECT_NE(other_stranger.connect(cluster_->gcs_address(), other), "");
  EXPECT_EQ(join(), "");
}

TEST_F(ClusterTest, two_clusters_live_side_by_side) {
  start();
  auto second = EmbeddedCluster::start(small());
  ASSERT_TRUE(second.ok());
  EXPECT_NE((*second)->session_directory(), cluster_->session_directory());
  TestDriver stranger;
  EXPECT_NE(stranger.connect((*second)->raylet_address(), cluster_->secret()), "");
  second->reset();
  EXPECT_EQ(join(), "");
}

TEST_F(ClusterTest, an_owner_that_is_killed_leaves_nothing) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t owner = ::fork();
  if (owner == 0) {
    auto cluster = EmbeddedCluster::start(small(2));
    TestDriver driver;
    bool ok = cluster.ok() && driver.connect((*cluster)->raylet_address(), (*cluster)->secret()).empty();
    driver.demand(1, 2, cpus(1));
    ok = ok && driver.wait([&] { return driver.grants.size() == 2; });
    [[maybe_unused]] const auto n = ::write(ready[1], ok ? "y" : "n", 1);
    ::pause();
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  EXPECT_EQ(ok, 'y');
  ::kill(owner, SIGKILL);
  ::waitpid(owner, nullptr, 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(leaks_.leftovers(5s), IsEmpty());
  std::printf("nothing left %.0f ms after the owner was killed\n",
              std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace mobula::testing

int main(int argc, char** argv) {
  mobula::testing::take_role();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

// Objects between the stores of real raylets, over each link.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/embedded.h"
#include "core/os/random.h"
#include "tests/node/process_roles.h"
#include "tests/node/test_driver.h"
#include "tests/support/leak_check.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using base::ObjectId;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::byte> pattern(std::size_t size) {
  std::vector<std::byte> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(base::mix64(i / 8) >> (i % 8));
  return out;
}

class PullTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    cluster::EmbeddedOptions options;
    options.nodes = 3;
    options.resources.set("cpus", base::Amount::of(1));
    options.store_bytes = 256u << 20;
    options.settings["node_link"] = GetParam();
    auto started = cluster::EmbeddedCluster::start(options);
    ASSERT_TRUE(started.ok()) << started.error().what;
    cluster_ = std::move(*started);
    for (std::size_t i = 0; i < 3; ++i) {
      drivers_.push_back(std::make_unique<TestDriver>());
      ASSERT_EQ(drivers_[i]->connect(cluster_->raylet_addresses()[i], cluster_->secret()), "");
    }
  }
  void TearDown() override {
    drivers_.clear();
    cluster_.reset();
    EXPECT_THAT(leaks_.leftovers(5s), IsEmpty());
  }
  const std::string& node(std::size_t i) const { return drivers_[i]->registered.node_id(); }
  void expect_value(TestDriver& driver, const ObjectId& object, const std::vector<std::byte>& value) {
    const auto pin = driver.store().get(object);
    ASSERT_TRUE(pin.has_value());
    ASSERT_EQ(pin->bytes().size(), value.size());
    EXPECT_EQ(std::memcmp(pin->bytes().data(), value.data(), value.size()), 0);
  }

  LeakCheck leaks_;
  std::unique_ptr<cluster::EmbeddedCluster> cluster_;
  std::vector<std::unique_ptr<TestDriver>> drivers_;
};

TEST_P(PullTest, an_object_of_another_node_arrives_whole) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100'001}, std::size_t{1} << 20, std::size_t{40} << 20}) {
    const auto object = os::random_id<ObjectId>();
    const auto value = pattern(size);
    ASSERT_EQ(drivers_[1]->put(object, value), "");
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(drivers_[0]->pull(object, node(1), size), "");
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %zu bytes in %.0f us (%.2f GB/s)\n", GetParam(), size, took.count() * 1e6,
                static_cast<double>(size) / took.count() / 1e9);
    expect_value(*drivers_[0], object, value);
  }
}

TEST_P(PullTest, copies_make_room_for_what_is_made_here) {
  const auto value = pattern(40u << 20);
  for (int i = 0; i < 5; ++i) {
    const auto object = os::random_id<ObjectId>();
    ASSERT_EQ(drivers_[1]->put(object, value), "");
    ASSERT_EQ(drivers_[0]->pull(object, node(1), value.size()), "");
  }
  // Of 256 MiB.
  EXPECT_EQ(drivers_[0]->put(os::random_id<ObjectId>(), pattern(160u << 20)), "");
}

TEST_P(PullTest, a_holder_that_lacks_it_is_passed_over_for_another) {
  const auto object = os::random_id<ObjectId>();
  const auto value = pattern(300'000);
  ASSERT_EQ(drivers_[2]->put(object, value), "");
  proto::Pull request;
  request.set_object_id(object.bytes());
  request.set_size(value.size());
  request.add_holders(node(1));
  request.add_holders(node(2));
  proto::Pulled done;
  ASSERT_EQ(drivers_[0]->ask(proto::PULL, request, done), "");
  expect_value(*drivers_[0], object, value);
}

TEST_P(PullTest, an_object_that_nobody_has_is_an_error_that_names_the_holders) {
  const auto object = os::random_id<ObjectId>();
  EXPECT_THAT(drivers_[0]->pull(object, node(1), 100), HasSubstr("n1"));
}

TEST_P(PullTest, the_death_of_the_holder_ends_the_pull_in_an_error) {
  const auto object = os::random_id<ObjectId>();
  ASSERT_EQ(drivers_[1]->put(object, pattern(1000)), "");
  ::kill(cluster_->children()[2], SIGKILL);
  EXPECT_NE(drivers_[0]->pull(object, node(1), 1000), "");
}

TEST_P(PullTest, many_pulls_of_one_object_are_one_copy) {
  const auto object = os::random_id<ObjectId>();
  const auto value = pattern(8u << 20);
  ASSERT_EQ(drivers_[1]->put(object, value), "");
  proto::Pull request;
  request.set_object_id(object.bytes());
  request.set_size(value.size());
  request.add_holders(node(1));
  int answered = 0;
  for (int i = 0; i < 10; ++i) {
    drivers_[0]->rpc().call(proto::PULL, request, 10s,
                            [&](base::Result<rpc::Message> reply) { answered += reply.ok() ? 1 : 100; });
  }
  ASSERT_TRUE(drivers_[0]->wait([&] { return answered >= 10; }));
  EXPECT_EQ(answered, 10);
  proto::Json json;
  ASSERT_EQ(drivers_[0]->ask(proto::NODE_STATUS, proto::Empty(), json), "");
  EXPECT_THAT(json.text(), HasSubstr("\"bytes\":8388608"));
}

TEST_P(PullTest, an_object_that_its_owner_frees_goes_from_every_node_named) {
  const auto object = os::random_id<ObjectId>();
  ASSERT_EQ(drivers_[1]->put(object, pattern(200'000)), "");
  ASSERT_EQ(drivers_[0]->pull(object, node(1), 200'000), "");
  proto::FreeObjects free;
  free.add_object_ids(object.bytes());
  free.add_nodes(node(0));
  free.add_nodes(node(1));
  proto::Empty done;
  ASSERT_EQ(drivers_[0]->ask(proto::FREE_OBJECTS, free, done), "");
  EXPECT_FALSE(drivers_[0]->store().contains(object));
  EXPECT_TRUE(drivers_[0]->wait([&] { return !drivers_[1]->store().contains(object); }, 2s));
}

TEST_P(PullTest, what_is_larger_than_the_store_is_refused_with_the_numbers) {
  proto::LeaseSlab request;
  request.set_bytes(std::uint64_t{1} << 40);
  proto::SlabGrant slab;
  EXPECT_NE(drivers_[0]->ask(proto::LEASE_SLAB, request, slab), "");
}

INSTANTIATE_TEST_SUITE_P(Links, PullTest, ::testing::Values("shm", "sock"));

}  // namespace
}  // namespace mobula::testing

int main(int argc, char** argv) {
  mobula::testing::take_role();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

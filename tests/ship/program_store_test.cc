// The stores of several nodes in one process, joined by real channels: what one lacks, another has.
#include "core/raylet/program_store.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "tests/support/leak_check.h"
#include "transport/channel.h"

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::NodeId;
using base::Result;
using raylet::ProgramStore;
using ::testing::HasSubstr;

std::string read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class ProgramStoreTest : public ::testing::Test {
 protected:
  struct Node {
    NodeId id = os::random_id<NodeId>();
    std::string directory;
    std::string address;
    proto::JobInfo job;  // As this node sees it.
    std::map<NodeId, std::unique_ptr<rpc::Rpc>> outgoing;
    std::vector<std::unique_ptr<rpc::Rpc>> incoming;
    std::unique_ptr<transport::Listener> listener;
    std::unique_ptr<ProgramStore> store;
    std::function<void(rpc::Rpc&)> serve;  // Instead of the store.
    int asked = 0;                         // Channels that were made to it.
  };

  ProgramStoreTest() {
    home_ = &make("home");
    job_.set_job_id(os::random_id<base::JobId>().bytes());
    job_.set_build_id(os::self_build_id());
    job_.set_exe(os::self_exe());
    job_.set_driver_node(home_->id.bytes());
    home_->job = job_;
    job_.set_exe("/no/such/program");
  }

  transport::ChannelOptions options(const Node& node) {
    transport::ChannelOptions out;
    out.credentials.self = {*base::WorkerId::from_string(node.id.bytes()), 1, "raylet"};
    return out;
  }

  Node& make(const std::string& name) {
    nodes_.push_back(std::make_unique<Node>());
    Node& node = *nodes_.back();
    node.job = job_;
    node.directory = leaks_.directory() + "/" + name;
    auto listener = transport::listen_unix(loop_, leaks_.directory() + "/" + name + ".sock", options(node),
                                           [this, &node](auto channel, auto set) {
                                             auto rpc = rpc::Rpc::accept(loop_, std::move(channel), set, {});
                                             const auto peer = *NodeId::from_string(rpc->peer().id.bytes());
                                             if (node.serve) {
                                               node.serve(*rpc);
                                             } else {
                                               node.store->serve_peer(peer, *rpc);
                                             }
                                             node.incoming.push_back(std::move(rpc));
                                             ++node.asked;
                                           });
    EXPECT_TRUE(listener.ok());
    node.listener = std::move(*listener);
    node.address = node.listener->address();
    node.store = std::make_unique<ProgramStore>(
        loop_, ProgramStore::Options{.directory = node.directory, .self = node.id, .piece_timeout = 500ms},
        ProgramStore::Ports{.channel = [this, &node](const NodeId& peer) { return channel(node, peer); },
                            .name_of = [](const NodeId& peer) { return peer.short_hex(); },
                            .job = [&node](const base::JobId&) { return &node.job; },
                            .in_use = [](const std::string&) { return true; }});
    return node;
  }

  rpc::Rpc* channel(Node& from, const NodeId& to) {
    const auto it = from.outgoing.find(to);
    if (it != from.outgoing.end() && it->second->is_open()) return it->second.get();
    for (const auto& node : nodes_) {
      if (node->id != to) continue;
      auto rpc = rpc::Rpc::connect(loop_, node->address, options(from), {});
      if (!rpc) return nullptr;
      loop_.post([old = std::shared_ptr(std::move(from.outgoing[to]))] {});
      from.outgoing[to] = std::move(*rpc);
      return from.outgoing[to].get();
    }
    return nullptr;
  }

  // The path, or the error.
  Result<std::string> locate(Node& node) {
    std::optional<Result<std::string>> out;
    node.store->locate(node.job, [&out](Result<std::string> path) { out = std::move(path); });
    wait([&] { return out.has_value(); });
    return out ? *out : Result<std::string>(base::Error{base::Code::kDeadline, "no answer"});
  }
  bool wait(const std::function<bool()>& condition) {
    const auto until = os::now() + 20s;
    while (!condition() && os::now() < until) loop_.run_once(10ms);
    return condition();
  }
  // The home has taken all that the node has told it: messages on a channel keep their order.
  void settle(Node& node) {
    proto::FetchBinary request;
    request.set_job_id(job_.job_id());
    request.set_build_id(job_.build_id());
    bool answered = false;
    channel(node, home_->id)
        ->ask<proto::BinaryChunk>(proto::FETCH_BINARY, request, 20s,
                                  [&answered](const Result<proto::BinaryChunk>&) { answered = true; });
    EXPECT_TRUE(wait([&] { return answered; }));
  }
  bool has_remains(const Node& node) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(node.directory, error))
      if (entry.path().string().find(".part-") != std::string::npos) return true;
    return false;
  }

  LeakCheck leaks_;
  os::EventLoop loop_;
  proto::JobInfo job_;
  std::vector<std::unique_ptr<Node>> nodes_;
  Node* home_ = nullptr;
};

TEST_F(ProgramStoreTest, a_program_that_is_where_the_driver_has_it_is_not_copied) {
  Node& node = make("node");
  node.job.set_exe(os::self_exe());
  bool inside = true;
  node.store->locate(node.job, [&](const Result<std::string>& path) {
    EXPECT_TRUE(inside);
    EXPECT_EQ(path.ok() ? *path : path.error().what, os::self_exe());
  });
  inside = false;
  EXPECT_FALSE(fs::exists(node.directory));
}

TEST_F(ProgramStoreTest, another_program_at_the_same_path_is_not_taken_for_it) {
  Node& node = make("node");
  node.job.set_exe("/bin/sh");
  const auto path = locate(node);
  ASSERT_TRUE(path.ok()) << path.error().what;
  EXPECT_EQ(*path, node.directory + "/" + os::self_build_id());
  EXPECT_EQ(read_whole(*path), read_whole(os::self_exe()));
  EXPECT_EQ(::access(path->c_str(), X_OK), 0);
}

TEST_F(ProgramStoreTest, jobs_that_lack_the_same_program_wait_for_one_fetch) {
  Node& node = make("node");
  int answers = 0;
  for (int i = 0; i < 5; ++i) {
    node.store->locate(node.job, [&](const Result<std::string>& path) { answers += path.ok() ? 1 : 0; });
  }
  EXPECT_TRUE(wait([&] { return answers == 5; }));
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(node.directory)) ++files;
  EXPECT_EQ(files, 1u);
  EXPECT_EQ(home_->asked, 1);
}

TEST_F(ProgramStoreTest, who_has_fetched_it_serves_it_to_the_next) {
  Node& first = make("first");
  ASSERT_TRUE(locate(first).ok());
  Node& second = make("second");
  settle(first);
  ASSERT_TRUE(locate(second).ok());
  EXPECT_EQ(first.asked, 1);
}

TEST_F(ProgramStoreTest, a_damaged_copy_is_refused_and_another_holder_asked) {
  Node& first = make("first");
  const auto kept = locate(first);
  ASSERT_TRUE(kept.ok());
  fs::permissions(*kept, fs::perms::owner_all);
  std::fstream(*kept, std::ios::in | std::ios::out | std::ios::binary).seekp(-4, std::ios::end) << "oops";
  Node& second = make("second");
  settle(first);
  const auto path = locate(second);
  ASSERT_TRUE(path.ok()) << path.error().what;
  EXPECT_EQ(first.asked, 1);
  EXPECT_EQ(read_whole(*path), read_whole(os::self_exe()));
}

TEST_F(ProgramStoreTest, bytes_of_the_right_length_and_the_wrong_content_never_get_the_name) {
  const std::string real = read_whole(os::self_exe());
  home_->serve = [&real](rpc::Rpc& rpc) {
    rpc.on<proto::FetchBinary>(proto::FETCH_BINARY, [&real](proto::FetchBinary&& m, rpc::Responder responder) {
      proto::BinaryChunk out;
      out.set_total(real.size());
      out.set_digest(std::string(16, 'd'));
      out.set_data(real.substr(m.offset(), m.size()));
      responder.reply(out);
    });
  };
  Node& node = make("node");
  const auto path = locate(node);
  ASSERT_FALSE(path.ok());
  EXPECT_THAT(path.error().what, HasSubstr("another digest"));
  EXPECT_FALSE(fs::exists(node.directory + "/" + os::self_build_id()));
  EXPECT_FALSE(has_remains(node));
}

TEST_F(ProgramStoreTest, holders_that_lie_or_say_nothing_end_in_an_error_with_what_each_did) {
  home_->serve = [](rpc::Rpc& rpc) {
    rpc.on<proto::FetchBinary>(proto::FETCH_BINARY, [](proto::FetchBinary&& m, rpc::Responder responder) {
      proto::BinaryChunk out;
      out.set_total(1'000'000);
      out.set_digest(std::string(16, 'd'));
      if (m.size() != 0) out.set_data("too short");
      responder.reply(out);
    });
  };
  Node& node = make("node");
  const auto path = locate(node);
  ASSERT_FALSE(path.ok());
  EXPECT_THAT(path.error().what, HasSubstr("another length"));
  home_->serve = [](rpc::Rpc& rpc) {
    rpc.on<proto::FetchBinary>(proto::FETCH_BINARY, [](proto::FetchBinary&&, rpc::Responder responder) {
      proto::BinaryChunk out;
      out.set_total(std::uint64_t{1} << 60);
      out.set_digest(std::string(16, 'd'));
      responder.reply(out);
    });
  };
  Node& other = make("other");
  EXPECT_THAT(locate(other).error().what, HasSubstr("cannot be fetched"));
  std::vector<rpc::Responder> never;
  home_->serve = [&never](rpc::Rpc& rpc) {
    rpc.on<proto::FetchBinary>(proto::FETCH_BINARY, [&never](proto::FetchBinary&& m, rpc::Responder responder) {
      if (m.size() != 0) return never.push_back(std::move(responder));
      proto::BinaryChunk out;
      out.set_total(1'000'000);
      out.set_digest(std::string(16, 'd'));
      responder.reply(out);
    });
  };
  Node& third = make("third");
  EXPECT_THAT(locate(third).error().what, HasSubstr("no answer in time"));
}

TEST_F(ProgramStoreTest, the_death_of_the_home_is_an_error_in_bounded_time) {
  Node& node = make("node");
  home_->listener.reset();
  const auto path = locate(node);
  ASSERT_FALSE(path.ok());
  EXPECT_THAT(path.error().what, HasSubstr("could not be brought to this node"));
}

TEST_F(ProgramStoreTest, a_disk_without_room_is_an_error_and_leaves_nothing) {
  Node& node = make("node");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{64 * 1024, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto path = locate(node);
  ::setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(path.ok());
  EXPECT_THAT(path.error().what, HasSubstr("room for"));
  EXPECT_FALSE(has_remains(node));
}

TEST_F(ProgramStoreTest, only_programs_of_jobs_can_be_read_and_a_build_id_is_no_path) {
  Node& node = make("node");
  std::string refused;
  proto::FetchBinary request;
  request.set_job_id(job_.job_id());
  request.set_build_id("../../../../etc/passwd");
  request.set_size(10);
  channel(node, home_->id)
      ->ask<proto::BinaryChunk>(proto::FETCH_BINARY, request, 5s, [&](Result<proto::BinaryChunk> reply) {
        refused = reply ? "answered" : reply.error().what;
      });
  EXPECT_TRUE(wait([&] { return !refused.empty(); }));
  EXPECT_THAT(refused, HasSubstr("no job here"));
  node.job.set_build_id("../../../../tmp/abcdef01");
  EXPECT_THAT(locate(node).error().what, HasSubstr("malformed"));
  node.job.clear_build_id();
  EXPECT_THAT(locate(node).error().what, HasSubstr("no build-id"));
}

}  // namespace
}  // namespace mobula::testing

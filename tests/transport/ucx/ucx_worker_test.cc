#include <cstdlib>
#include <optional>

#include <gtest/gtest.h>
#include <ucp/api/ucp.h>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "tests/transport/party.h"
#include "transport/channel.h"
#include "transport/ucx/context.h"
#include "transport/ucx/ucx.h"
#include "transport/ucx/wire.h"

namespace mobula::test {
namespace {

using transport::UcxOptions;
using transport::UcxWorker;

UcxOptions shared_memory() {
  UcxOptions options;
  options.transports = "posix,self";
  return options;
}

template <UcxOptions (*kOptions)()>
class OneFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    auto worker = transport::make_ucx_worker(options, inbox, kOptions());
    if (!worker) return worker.error();
    return std::unique_ptr<transport::Worker>(*std::move(worker));
  }
  std::vector<std::string> listeners(const transport::Worker&) const override { return {}; }
  static std::unique_ptr<Fabric> make() { return std::make_unique<OneFabric>(); }
};

Backend posix() { return {"ucx_posix", {}, &OneFabric<&shared_memory>::make}; }

const transport::UcxCounters counters_of(Party& party) { return dynamic_cast<UcxWorker&>(party.worker()).counters(); }

// A peer that has proved itself, and then speaks to UCX as it likes.
class RawPeer {
 public:
  RawPeer(World& world, const transport::Address& to) {
    transport::ChannelOptions options;
    options.credentials = world.options("raw").credentials;
    transport::Channel::Callbacks callbacks;
    callbacks.ready = [this] { send_hello(); };
    callbacks.frame = [this](transport::Frame&& frame) {
      if (auto hello = transport::ucx::decode_hello(frame.payload)) theirs = *std::move(hello);
    };
    callbacks.closed = [](const base::Error&) {};
    open_ucx();
    channel_ = *transport::connect_channel(loop_, to, options, std::move(callbacks));
  }
  ~RawPeer() {
    channel_.reset();
    if (endpoint_ != nullptr) {
      ucp_request_param_t param{};
      param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
      param.flags = UCP_EP_CLOSE_FLAG_FORCE;
      ucp_ep_close_nbx(endpoint_, &param);
    }
    ucp_worker_destroy(worker_);
  }

  void progress() {
    loop_.run_once(base::Duration::zero());
    ucp_worker_progress(worker_);
  }

  // REQUIRES: theirs.
  void send(const transport::ucx::MessageHeader& head, ConstBytes payload) {
    if (endpoint_ == nullptr) {
      ucp_ep_params_t params{};
      params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
      params.address = reinterpret_cast<const ucp_address_t*>(theirs->address.data());
      params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
      ASSERT_EQ(ucp_ep_create(worker_, &params, &endpoint_), UCS_OK);
    }
    headers_.push_back(std::make_unique<transport::ucx::MessageHeader>(head));
    ucp_request_param_t param{};
    const auto sent =
        ucp_am_send_nbx(endpoint_, 1, headers_.back().get(), sizeof head, payload.data(), payload.size(), &param);
    ASSERT_FALSE(UCS_PTR_IS_ERR(sent));
    if (UCS_PTR_IS_PTR(sent)) ucp_request_free(sent);
  }

  std::optional<transport::ucx::Hello> theirs;

 private:
  void open_ucx() {
    context_ = *transport::ucx::Context::open(shared_memory());
    ucp_worker_params_t params{};
    ASSERT_EQ(ucp_worker_create(context_->get(), &params, &worker_), UCS_OK);
  }
  void send_hello() {
    ucp_address_t* address = nullptr;
    std::size_t size = 0;
    ASSERT_EQ(ucp_worker_get_address(worker_, &address, &size), UCS_OK);
    transport::ucx::Hello hello;
    hello.instance = 1;
    hello.cookie = 1;
    hello.window_bytes = 1 << 20;
    hello.address.assign(reinterpret_cast<const char*>(address), size);
    ucp_worker_release_address(worker_, address);
    EXPECT_TRUE(channel_->send(1, 0, 0, transport::ucx::encode(hello).view()).ok());
    const transport::ucx::Attach attach{77, 0};
    EXPECT_TRUE(channel_->send(2, 0, 0, base::object_bytes(attach)).ok());
  }

  os::EventLoop loop_;
  std::shared_ptr<transport::ucx::Context> context_;
  ucp_worker_h worker_ = nullptr;
  ucp_ep_h endpoint_ = nullptr;
  std::unique_ptr<transport::Channel> channel_;
  std::vector<std::unique_ptr<transport::ucx::MessageHeader>> headers_;
};

class UcxWorkerTest : public ::testing::Test {
 protected:
  World world_{posix()};
};

TEST_F(UcxWorkerTest, MessagesWithoutTheCookieThatWasIssuedAreDroppedAndCounted) {
  Party& a = world_.add("test");
  RawPeer raw(world_, a.worker().address());
  const auto until = [&](const std::function<bool()>& happened) {
    return world_.until([&] {
      raw.progress();
      return happened();
    });
  };
  ASSERT_TRUE(until([&] { return raw.theirs && !a.peers.empty(); }));
  transport::ucx::MessageHeader head;
  head.cookie = raw.theirs->cookie ^ 1;
  head.slot = raw.theirs->slot;
  raw.send(head, view("forged"));
  head.cookie = raw.theirs->cookie;
  head.slot = raw.theirs->slot + 1;
  raw.send(head, view("for nobody"));
  head.slot = raw.theirs->slot;
  head.version = 99;
  raw.send(head, view("of another version"));
  ASSERT_TRUE(until([&] { return counters_of(a).dropped == 3; }));
  EXPECT_TRUE(a.messages.empty());
  head.version = transport::ucx::kWireVersion;
  head.type = 5;
  raw.send(head, view("genuine"));
  ASSERT_TRUE(until([&] { return !a.messages.empty(); }));
  EXPECT_EQ(a.messages.front().payload, "genuine");
  EXPECT_EQ(counters_of(a).dropped, 3u);
}

TEST_F(UcxWorkerTest, AMessageSentTwiceEndsTheConnection) {
  Party& a = world_.add("test");
  RawPeer raw(world_, a.worker().address());
  ASSERT_TRUE(world_.until([&] {
    raw.progress();
    return raw.theirs && !a.peers.empty();
  }));
  transport::ucx::MessageHeader head;
  head.cookie = raw.theirs->cookie;
  head.slot = raw.theirs->slot;
  raw.send(head, view("once"));
  raw.send(head, view("twice"));
  ASSERT_TRUE(world_.until([&] {
    raw.progress();
    return !a.lost_peers.empty();
  }));
  EXPECT_EQ(a.lost_peers.begin()->second.code, base::Code::kInvalid);
  EXPECT_EQ(a.messages.size(), 1u);
}

TEST_F(UcxWorkerTest, WorkersThatConnectToEachOtherAtOnceKeepBothConnectionsApart) {
  Party& a = world_.add("left");
  Party& b = world_.add("right");
  Endpoint& to_b = a.connect(b);
  Endpoint& to_a = b.connect(a);
  ASSERT_TRUE(to_b.send(1, {}, view("from a"), nullptr).ok());
  ASSERT_TRUE(to_a.send(2, {}, view("from b"), nullptr).ok());
  ASSERT_TRUE(world_.until(
      [&] { return a.peers.size() == 1 && b.peers.size() == 1 && a.messages.size() == 1 && b.messages.size() == 1; }));
  // One goes, by force; the other is none the worse.
  to_b.close();
  ASSERT_TRUE(world_.until([&] { return b.lost_peers.contains(b.peers[0]); }));
  ASSERT_TRUE(to_a.send(3, {}, view("still there"), nullptr).ok());
  ASSERT_TRUE(a.peers[0]->send(4, {}, view("and back"), nullptr).ok());
  ASSERT_TRUE(world_.until([&] { return a.messages.size() == 2 && b.messages.size() == 2; }));
  EXPECT_FALSE(b.lost_peers.contains(&to_a));
}

TEST_F(UcxWorkerTest, WhoConnectsAgainAtOnceFindsAFreshLink) {
  Party& a = world_.add("left");
  Party& b = world_.add("right");
  for (std::size_t round = 1; round <= 30; ++round) {
    Endpoint& to_b = a.connect(b);
    ASSERT_TRUE(to_b.send(static_cast<std::uint16_t>(round), {}, view("hello again"), nullptr).ok());
    ASSERT_TRUE(world_.until([&] { return b.messages.size() == round; })) << "round " << round;
    ASSERT_TRUE(b.peers.back()->send(1, {}, view("welcome back"), nullptr).ok());
    ASSERT_TRUE(world_.until([&] { return a.messages.size() == round; })) << "round " << round;
    to_b.close();
    if (round % 2 == 0) a.progress();  // b has not heard of it when the next one comes.
    b.lost_peers.clear();              // The next endpoint may have the same address.
    EXPECT_TRUE(a.lost_peers.empty());
  }
}

TEST_F(UcxWorkerTest, WhoeverLetsGoFirstTheNextConnectionWorks) {
  Party& a = world_.add("left");
  Party& b = world_.add("right");
  for (std::size_t round = 1; round <= 30; ++round) {
    Endpoint& to_b = a.connect(b);
    ASSERT_TRUE(to_b.send(1, {}, view("x"), nullptr).ok());
    ASSERT_TRUE(world_.until([&] { return b.messages.size() == round; })) << "round " << round;
    b.peers.back()->close();
    if (round % 3 != 0) b.progress();
    a.lost_peers.clear();  // The next endpoint may have the same address.
  }
}

TEST_F(UcxWorkerTest, AWorkerCanConnectToItself) {
  Party& a = world_.add("test");
  Endpoint& to_self = a.connect(a);
  const std::string large = pattern(1, 1 << 20);
  ASSERT_TRUE(to_self.send(1, {}, view("small"), nullptr).ok());
  ASSERT_TRUE(to_self.send(2, {}, view(large), nullptr).ok());
  ASSERT_TRUE(to_self.send(3, {}, view("last"), nullptr).ok());
  ASSERT_TRUE(world_.until([&] { return a.messages.size() == 3; }));
  EXPECT_TRUE(a.messages[1].payload == large);
  EXPECT_EQ(a.messages[2].type, 3);
}

TEST_F(UcxWorkerTest, ARegionMayOutliveItsWorker) {
  Party& a = world_.add("test");
  std::string memory(4096, 'x');
  auto region = *a.worker().register_memory(bytes(memory));
  a.destroy_worker();
  EXPECT_EQ(region->bytes().size(), 4096u);
}

TEST(UcxConfiguration, TheEnvironmentDoesNotChooseTheTransports) {
  ::setenv("UCX_TLS", "tcp", 1);
  {
    World world(posix());
    Party& a = world.add("left");
    Party& b = world.add("right");
    world.join(a, b);
    const auto context = transport::ucx::Context::open(shared_memory());
    ASSERT_TRUE(context.ok()) << context.error().what;
    char* text = nullptr;
    std::size_t size = 0;
    FILE* out = ::open_memstream(&text, &size);
    ucp_context_print_info((*context)->get(), out);
    std::fclose(out);
    const std::string resources(text, size);
    std::free(text);
    EXPECT_EQ(resources.find("-- tcp/"), std::string::npos) << resources;
    EXPECT_NE(resources.find("-- posix/"), std::string::npos) << resources;
  }
  ::unsetenv("UCX_TLS");
}

TEST(UcxConfiguration, MobulasOwnVariableDoes) {
  ::setenv("MOBULA_UCX_TLS", "posix,self", 1);
  EXPECT_EQ(transport::ucx_options_from_environment().transports, "posix,self");
  ::unsetenv("MOBULA_UCX_TLS");
  EXPECT_EQ(transport::ucx_options_from_environment().transports, "rc,self");
}

TEST(UcxConfiguration, WithoutADeviceRdmaIsRefused) {
  if (!transport::rdma_devices().empty()) GTEST_SKIP() << "this machine has an RDMA device";
  World world({"ucx_posix", {}, &OneFabric<&shared_memory>::make});
  struct Nobody final : transport::Inbox {
    void accepted(Endpoint&) override {}
    void message(Endpoint&, std::uint16_t, ConstBytes, ConstBytes) override {}
    void writable(Endpoint&) override {}
    void lost(Endpoint&, const base::Error&) override {}
  } nobody;
  const auto worker = transport::make_ucx_worker(world.options("test"), nobody, {});
  ASSERT_FALSE(worker.ok());
  EXPECT_EQ(worker.error().code, base::Code::kUnavailable);
}

// Run in the emulated machine of tests/rdma.
class OverRdma : public ::testing::Test {
 protected:
  void SetUp() override {
    if (transport::rdma_devices().empty()) GTEST_SKIP() << "no RDMA device here";
  }
  static UcxOptions verbs() {
    UcxOptions options;
    options.transports = "rc_verbs,ud_verbs:aux,self";
    return options;
  }
};

TEST_F(OverRdma, TheNetworkReadsAndWritesAlone) {
  World world({"ucx_verbs", {}, &OneFabric<&OverRdma::verbs>::make});
  Party& a = world.add("left");
  Party& b = world.add("right");
  const auto [to_b, to_a] = world.join(a, b);
  std::string theirs = pattern(1, 100'000);
  std::string mine(200'000, 'm');
  const auto remote = *b.worker().register_memory(bytes(theirs));
  const auto local = *a.worker().register_memory(bytes(mine));
  // The first one sets up the connection, which takes both sides.
  Done first;
  to_b->read({0, 8, remote->remote_key()}, {*local, 0, 8}, first);
  ASSERT_TRUE(world.until([&] { return first.ended(); }));
  Done read;
  Done write;
  to_b->read({0, theirs.size(), remote->remote_key()}, {*local, 0, theirs.size()}, read);
  ASSERT_TRUE(world.until_by({&a}, [&] { return read.ended(); })) << "the target's code had to take part";
  ASSERT_TRUE(read.ok()) << read.error().what;
  EXPECT_TRUE(mine.compare(0, theirs.size(), theirs) == 0);
  to_b->write({*local, 100'000, 100'000}, {0, 100'000, remote->remote_key()}, write);
  ASSERT_TRUE(world.until_by({&a}, [&] { return write.ended(); })) << "the target's code had to take part";
  ASSERT_TRUE(write.ok()) << write.error().what;
  EXPECT_EQ(theirs, std::string(100'000, 'm'));
  EXPECT_EQ(counters_of(a).one_sided, 3u);
  EXPECT_EQ(counters_of(b).one_sided, 0u);
}

}  // namespace
}  // namespace mobula::test

// What a peer that has proved itself may write into the rings that it shares with us, and send over the channel beside
// them.  The peer has no process here, so that nothing can be copied through the kernel: all goes over the rings.
//
// An input is a list of deeds: frames, records as the protocol has them, and stores into the shared memory as no
// producer makes them.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "core/os/memory_file.h"
#include "tests/fuzz/input.h"
#include "transport/shm/endpoint.h"

using namespace mobula;
using namespace mobula::transport;
using namespace mobula::transport::shm;

namespace {

constexpr std::size_t kRing = kRingBytesMin;
constexpr std::uint64_t kCookie = 77;

// The channel as the endpoint sees it: takes everything, and hands over what the input says.
class FakeChannel final : public Channel {
 public:
  Result<void> send(std::uint16_t, std::uint16_t, std::uint64_t, ConstBytes, std::span<const int>) override {
    return {};
  }
  const PeerIdentity& peer() const override { return identity_; }
  pid_t peer_pid() const override { return 0; }
  bool is_ready() const override { return true; }
  std::size_t queued_bytes() const override { return 0; }

 private:
  PeerIdentity identity_;
};

class Quiet final : public Inbox {
 public:
  void accepted(Endpoint&) override {}
  void message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) override {
    fuzz::require(header.size() <= kHeaderBytesMax && payload.size() <= kMessageBytesMax);
    if (type % 4 == 0)
      static_cast<void>(from.send(type, header, payload.first(std::min<std::size_t>(payload.size(), 256)), nullptr));
  }
  void writable(Endpoint&) override {}
  void lost(Endpoint&, const base::Error&) override { ++losses; }
  int losses = 0;
};

class Ended final : public Completion {
 public:
  void done(Result<std::size_t>) override { fuzz::require(++times == 1); }
  int times = 0;
};

// What no input changes, made once.
struct Fixture {
  WorkerOptions options;
  ChannelOptions channel_options;
  Quiet inbox;
  os::EventLoop loop;
  Doorbell bell = *Doorbell::create();
  os::Fd file = *os::make_memory_file("fuzzed", link_file_bytes(kRing));
  os::Mapping shared = *os::map_file(file, 0, link_file_bytes(kRing), os::Access::kReadWrite);
};

// A worker with one peer.
class Party {
 public:
  explicit Party(Fixture& f)
      : f_(f),
        regions_(nullptr),
        region_(regions_.add_memory(memory_)),
        context_{f.options, f.channel_options, {false}, f.inbox, f.loop, f.bell, regions_, kCookie, 1, {}, {}, {}, {},
                 {},        Context::kNoCpu,   0,       0},
        endpoint_(std::make_unique<ShmEndpoint>(context_, std::make_unique<FakeChannel>(),
                                                [this](Channel::Callbacks c) { callbacks_ = std::move(c); })) {
    std::memset(f.shared.data(), 0, f.shared.size());
    writer_ = RingWriter({control(0), f.shared.data() + 4096, kRing});
  }
  ~Party() {
    endpoint_->close();
    context_.done.run();
    fuzz::require(read_.times <= 1 && write_.times <= 1);
  }

  void hello() {
    const Hello hello{kCookie, kRing, {}};
    std::vector<os::Fd> fds;
    for (const int fd : {f_.file.get(), f_.bell.memory().get(), f_.bell.event().get()}) fds.emplace_back(::dup(fd));
    frame(FrameType::kHello, 0, 0, base::object_bytes(hello), std::move(fds));
  }
  void frame(FrameType type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
             std::vector<os::Fd> fds = {}) {
    Frame frame;
    frame.type = static_cast<std::uint16_t>(type);
    frame.flags = flags;
    frame.request = request;
    frame.payload = payload;
    frame.fds = std::move(fds);
    callbacks_.frame(std::move(frame));
  }
  void record(std::uint32_t tag, ConstBytes body) {
    if (tag == 0 || tag == RingWriter::kWrapTag || body.size() > writer_.record_bytes_max()) return;
    std::byte* at = writer_.reserve(body.size());
    if (at == nullptr || !writer_.is_valid()) return;
    if (!body.empty()) std::memcpy(at, body.data(), body.size());
    writer_.publish(tag, body.size());
  }
  void store(std::size_t at, std::uint64_t word) {
    std::memcpy(f_.shared.data() + at % (f_.shared.size() - sizeof word), &word, sizeof word);
  }
  // Where the consumer of what we send says that it is.
  void consumed(std::uint64_t position) { control(1)->consumed = position; }

  void begin_access(std::uint8_t which, std::uint64_t region) {
    const RegionKey key{kRegionMagic, region, 5, 4096};
    const RemoteSpan remote{which, 300, base::object_bytes(key)};
    const LocalSpan local{*region_, 0, 300};
    if (which % 2 == 0 && !std::exchange(reads_, true)) endpoint_->read(remote, local, read_);
    if (which % 2 == 1 && !std::exchange(writes_, true)) endpoint_->write(local, remote, write_);
  }
  std::uint64_t cookie_of_region() const {
    RegionKey key;
    std::memcpy(&key, region_->remote_key().data(), sizeof key);
    return key.cookie;
  }

  // A round of the worker's progress.
  void progress() {
    context_.slice_budget = 1 << 20;
    if (endpoint_->connected() && endpoint_->has_record()) endpoint_->drain();
    for (ShmEndpoint* busy : std::exchange(context_.busy, {})) {
      busy->unmark_busy();
      if (!busy->is_closed()) busy->work();
    }
    context_.done.run();
    std::erase(context_.open, nullptr);
    if (!context_.open.empty()) context_.open[0]->set_slot(0);
  }
  bool ended() const { return endpoint_->is_closed(); }

 private:
  RingControl* control(std::size_t index) {
    return reinterpret_cast<RingControl*>(f_.shared.data() + index * sizeof(RingControl));
  }

  Fixture& f_;
  std::array<std::byte, 4096> memory_{};
  RegionTable regions_;
  std::unique_ptr<Region> region_;
  Context context_;
  Channel::Callbacks callbacks_;
  std::unique_ptr<ShmEndpoint> endpoint_;
  RingWriter writer_;
  Ended read_, write_;
  bool reads_ = false, writes_ = false;
};

// "@COOKIE@" in a record becomes the region's, which no input can know.
std::string with_cookie(std::string_view text, std::uint64_t cookie) {
  std::string out(text);
  if (const auto at = out.find("@COOKIE@"); at != std::string::npos)
    std::memcpy(out.data() + at, &cookie, sizeof cookie);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Fixture& fixture = *new Fixture;
  fuzz::Input input(data, size);
  Party party(fixture);
  if (input.byte() % 8 != 0) party.hello();
  while (!input.empty() && !party.ended()) {
    switch (input.byte() % 8) {
      case 0:
      case 1:
      case 2: {
        const Tag tag{static_cast<Kind>(input.byte() % 16), input.byte(), input.byte()};
        party.record(pack(tag),
                     base::as_bytes(with_cookie(base::as_string_view(input.take(input.get<std::uint16_t>() % 1024)),
                                                party.cookie_of_region())));
        break;
      }
      case 3: {
        const auto type = static_cast<FrameType>(input.byte() % 6);
        const auto flags = static_cast<std::uint16_t>(input.byte() % 4);
        const auto request = input.byte();
        party.frame(type, flags, request, input.take(input.byte()));
        break;
      }
      case 4: {
        const auto at = input.get<std::uint16_t>();
        party.store(at, input.get<std::uint64_t>());
        break;
      }
      case 5: party.consumed(input.get<std::uint16_t>()); break;
      case 6: {
        const std::uint8_t which = input.byte();
        party.begin_access(which, input.byte());
        break;
      }
      case 7: party.progress(); break;
    }
    if (party.ended()) break;
    party.progress();
  }
  return 0;
}

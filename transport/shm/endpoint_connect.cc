#include <sys/epoll.h>

#include <cstring>
#include <string>
#include <utility>

#include "transport/shm/endpoint.h"

namespace mobula::transport::shm {
namespace {

// nullopt when the payload is not exactly a T.
template <class T>
std::optional<T> payload_as(const Frame& frame) {
  if (frame.payload.size() != sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, frame.payload.data(), sizeof value);
  return value;
}

std::uint16_t number(FrameType type) { return static_cast<std::uint16_t>(type); }

base::Error malformed(const char* what) {
  return {base::Code::kInvalid, std::string("shm peer sent a malformed ") + what};
}

base::Error error_of(const Frame& frame) {
  const auto code = frame.payload.empty() ? base::Code{} : static_cast<base::Code>(frame.payload[0]);
  if (code < base::Code::kInvalid || code > base::Code::kDenied) return malformed("error");
  return {code, std::string(base::as_string_view(frame.payload.subspan(1)))};
}

}  // namespace

ShmEndpoint::ShmEndpoint(Context& context, const std::string& channel_address, std::uint64_t peer_cookie)
    : context_(context),
      state_(State::kConnecting),
      announced_(true),
      queue_(context.options.queue_bytes_max, context.landings),
      relay_(context.regions, context.done),
      one_sided_(relay_, queue_, context.done, [this](const RegionKey& key) { return fetch(key); }) {
  expect_answer(true);
  if (const auto begun = begin_connecting(channel_address, peer_cookie); !begun) {
    why_ = begun.error();
    connect_failed_ = true;  // What is sent until lost() says so ends with it.
    mark_busy();
  }
}

ShmEndpoint::ShmEndpoint(Context& context, std::unique_ptr<Channel> channel,
                         const std::function<void(Channel::Callbacks)>& set_callbacks)
    : context_(context),
      state_(State::kArriving),
      queue_(context.options.queue_bytes_max, context.landings),
      relay_(context.regions, context.done),
      one_sided_(relay_, queue_, context.done, [this](const RegionKey& key) { return fetch(key); }),
      channel_(std::move(channel)) {
  expect_answer(true);
  arrival_timer_ = context.loop.after(context.channel_options.handshake_timeout, [this] {
    if (state_ == State::kArriving) retire();
  });
  set_callbacks(callbacks());
}

ShmEndpoint::~ShmEndpoint() {
  if (process_watch_ != 0) context_.loop.remove(process_watch_);
  context_.loop.cancel(arrival_timer_);
}

const PeerIdentity& ShmEndpoint::peer() const { return identity_; }

Channel::Callbacks ShmEndpoint::callbacks() {
  Channel::Callbacks callbacks;
  callbacks.ready = [this] { identity_ = channel_->peer(); };
  callbacks.frame = [this](Frame&& received) { frame(std::move(received)); };
  callbacks.closed = [this](const base::Error& why) {
    if (process_.has_died()) {
      peer_gone(
          {base::Code::kUnavailable, "process " + std::to_string(process_.pid()) + " (" + identity_.name + ") died"});
    } else {
      peer_gone(why);
    }
  };
  return callbacks;
}

Result<void> ShmEndpoint::begin_connecting(const std::string& channel_address, std::uint64_t peer_cookie) {
  auto channel = connect_channel(context_.loop, channel_address, context_.channel_options, callbacks());
  if (!channel) return channel.error();
  channel_ = *std::move(channel);
  const std::size_t ring_bytes = context_.options.ring_bytes;
  auto file = os::make_memory_file("mobula-rings", link_file_bytes(ring_bytes));
  if (!file) return file.error();
  auto link = Link::open(LinkEnd::kConnector, *file, ring_bytes);
  if (!link) return link.error();
  link_ = *std::move(link);
  const Hello hello{
      peer_cookie, ring_bytes, {reinterpret_cast<std::uint64_t>(&context_.probe_value), context_.probe_value}};
  const int fds[] = {file->get(), context_.bell.memory().get(), context_.bell.event().get()};
  return channel_->send(number(FrameType::kHello), 0, 0, base::object_bytes(hello), fds);
}

void ShmEndpoint::frame(Frame&& frame) {
  if (state_ == State::kEnding || state_ == State::kClosed) return;
  Result<void> taken;
  switch (static_cast<FrameType>(frame.type)) {
    case FrameType::kHello: taken = hello(std::move(frame)); break;
    case FrameType::kWelcome: taken = welcome(std::move(frame)); break;
    case FrameType::kFetchRegion:
      (frame.flags & kFlagReply) != 0 ? region_info(std::move(frame)) : fetch_region(frame);
      break;
    case FrameType::kRegionGone:
      if (const auto region = payload_as<std::uint64_t>(frame)) one_sided_.forget(*region);
      break;
    default: taken = malformed("frame");
  }
  if (!taken) peer_gone(taken.error());
}

Result<void> ShmEndpoint::hello(Frame&& frame) {
  const auto hello = payload_as<Hello>(frame);
  if (state_ != State::kArriving || !hello || frame.fds.size() != 3) return malformed("hello");
  if (hello->cookie != context_.cookie) return base::Error{base::Code::kNotFound, "shm peer wanted another worker"};
  auto link = Link::open(LinkEnd::kAcceptor, frame.fds[0], hello->ring_bytes);
  if (!link) return link.error();
  link_ = *std::move(link);
  if (auto adopted = adopt_bell(frame.fds[1], std::move(frame.fds[2])); !adopted) return adopted;
  identity_ = channel_->peer();
  watch_process();
  const Welcome welcome{can_read(hello->probe) ? 1u : 0u,
                        {reinterpret_cast<std::uint64_t>(&context_.probe_value), context_.probe_value}};
  const int fds[] = {context_.bell.memory().get(), context_.bell.event().get()};
  if (auto said = channel_->send(number(FrameType::kWelcome), 0, 0, base::object_bytes(welcome), fds); !said)
    return said;
  open_up();
  announced_ = true;
  context_.inbox.accepted(*this);
  return {};
}

Result<void> ShmEndpoint::welcome(Frame&& frame) {
  const auto welcome = payload_as<Welcome>(frame);
  if (state_ != State::kConnecting || !welcome || frame.fds.size() != 2) return malformed("welcome");
  if (auto adopted = adopt_bell(frame.fds[0], std::move(frame.fds[1])); !adopted) return adopted;
  identity_ = channel_->peer();
  watch_process();
  peer_reads_us_ = welcome->can_read != 0 && context_.tuning.process_vm;
  if (can_read(welcome->probe)) queue_.add_control(Kind::kCanRead, {});
  open_up();
  flush();
  return {};
}

Result<void> ShmEndpoint::adopt_bell(const os::Fd& page, os::Fd event) {
  auto bell = PeerDoorbell::open(page, std::move(event));
  if (!bell) return bell.error();
  link_.set_peer_doorbell(*std::move(bell));
  return {};
}

// By trying, since nothing else tells what Yama, a sandbox and process namespaces together allow.
bool ShmEndpoint::can_read(const Probe& probe) {
  if (!context_.tuning.process_vm) return false;
  std::uint64_t value = 0;
  const auto read = process_.read(probe.address, {reinterpret_cast<std::byte*>(&value), sizeof value});
  if (!read || value != probe.value) return false;
  one_sided_.use_process(&process_);
  return true;
}

void ShmEndpoint::watch_process() {
  process_ = PeerProcess(channel_->peer_pid());
  if (process_.pidfd() < 0) return;  // Not visible from here: the channel's end tells.
  process_watch_ = context_.loop.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) {
    context_.loop.remove(std::exchange(process_watch_, 0));
    peer_gone(
        {base::Code::kUnavailable, "process " + std::to_string(process_.pid()) + " (" + identity_.name + ") died"});
  });
}

void ShmEndpoint::open_up() {
  state_ = State::kOpen;
  slot_ = context_.open.size();
  context_.open.push_back(this);
  expect_answer(false);
  context_.loop.cancel(arrival_timer_);
  if (!queue_.empty() || relay_.wants_pump() || one_sided_.has_work()) mark_busy();
}

// The owner's side: says where the region is and hands over its descriptor, once the key is proved.
void ShmEndpoint::fetch_region(const Frame& frame) {
  const auto key = payload_as<RegionKey>(frame);
  const auto region = key ? context_.regions.find(*key) : Result<const OwnRegion*>(malformed("region key"));
  if (!region) {
    base::Buffer reply;
    reply.put(static_cast<std::uint8_t>(region.error().code));
    reply.append(base::as_bytes(region.error().what));
    static_cast<void>(channel_->send(frame.type, kFlagReply | kFlagError, frame.request, reply.view()));
    return;
  }
  const OwnRegion& own = **region;
  const RegionInfo info{own.memory.size(), reinterpret_cast<std::uint64_t>(own.memory.data()), own.file_offset,
                        static_cast<std::uint64_t>(own.access)};
  const int fd = own.file.get();
  handed_out_.insert(key->region);
  // A channel that cannot take the reply is full or gone; its end fails the peer's operation.
  static_cast<void>(channel_->send(frame.type, kFlagReply, frame.request, base::object_bytes(info),
                                   own.file.valid() ? std::span<const int>(&fd, 1) : std::span<const int>()));
}

Result<void> ShmEndpoint::fetch(const RegionKey& key) {
  if (channel_ == nullptr) return why_;
  expect_answer(true);
  return channel_->send(number(FrameType::kFetchRegion), 0, key.region, base::object_bytes(key));
}

void ShmEndpoint::region_info(Frame&& frame) {
  const auto info = payload_as<RegionInfo>(frame);
  const bool failed = (frame.flags & kFlagError) != 0;
  const os::Fd* file = frame.fds.size() == 1 ? &frame.fds[0] : nullptr;
  one_sided_.resolved(frame.request,
                      failed || !info ? Result<RegionInfo>(failed ? error_of(frame) : malformed("region")) : *info,
                      file);
  expect_answer(state_ == State::kConnecting || one_sided_.is_fetching());
  if (one_sided_.has_work()) mark_busy();
  flush();
}

void ShmEndpoint::region_gone(std::uint64_t region) {
  if (state_ != State::kOpen || handed_out_.erase(region) == 0) return;
  static_cast<void>(channel_->send(number(FrameType::kRegionGone), 0, 0, base::object_bytes(region)));
}

void ShmEndpoint::peer_gone(const base::Error& why) {
  if (state_ == State::kEnding || state_ == State::kClosed) return;
  if (!announced_) return retire();
  state_ = State::kEnding;
  why_ = why;
  deliver_rest_ = why.code != base::Code::kInvalid;
  if (!deliver_rest_) leave_open();
  mark_busy();
}

void ShmEndpoint::finish() {
  fail_all({base::Code::kUnavailable, why_.what});
  context_.done.run();  // Completions end before lost().
  if (state_ == State::kClosed) return;
  retire();
  context_.inbox.lost(*this, why_);
}

void ShmEndpoint::close() {
  if (state_ == State::kClosed) return;
  fail_all({base::Code::kCancelled, "the endpoint was closed"});
  retire();
}

void ShmEndpoint::fail_all(const base::Error& why) {
  queue_.fail(why, context_.done);
  relay_.fail(why);
  one_sided_.fail(why);
  for (const auto& [operation, offer] : offered_) context_.done.add(*offer.completion, why);
  offered_.clear();
}

// Out of every list but `busy`.  Memory and channel stay until no callback of theirs can be running.
void ShmEndpoint::retire() {
  state_ = State::kClosed;
  leave_open();
  expect_answer(false);
  context_.retired.push_back(this);
}

void ShmEndpoint::leave_open() {
  if (slot_ < context_.open.size() && context_.open[slot_] == this) context_.open[slot_] = nullptr;
}

void ShmEndpoint::expect_answer(bool expected) {
  if (expecting_ == expected) return;
  expecting_ = expected;
  expected ? ++context_.expecting : --context_.expecting;
}

}  // namespace mobula::transport::shm

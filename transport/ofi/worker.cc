#include "transport/ofi/worker.h"

#include <rdma/fi_errno.h>
#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "transport/ofi/library.h"

namespace mobula::transport {
namespace ofi {
namespace {

// The sockets are looked at in one of so many calls of progress(), and always after a sleep: they tell of
// connections and deaths only.
constexpr unsigned kPollsPerLoop = 64;
// What one connection may have on its way to us: a window of numbered packets, and as much news.  Where that is more
// than the endpoint holds, the provider's own flow control holds senders back.
constexpr std::size_t kReceivesPerConnection = 2 * kWindow;
constexpr base::Duration kRetry = std::chrono::milliseconds(1);
constexpr base::Duration kNapMin = std::chrono::microseconds(50);
constexpr base::Duration kNapMax = std::chrono::milliseconds(2);
// From the greeting over the channel to the first packet.
constexpr base::Duration kWiringMax = std::chrono::seconds(10);

}  // namespace

Result<void> WorkerImpl::open(OfiOptions::Listen listen) {
  nap_ = kNapMin;
  provider_name_ = core_.provider->name();
  auto port = Port::open(core_.provider, *this);
  if (!port) return port.error();
  core_.port = *std::move(port);
  core_.packets = std::make_unique<PacketPool>(core_.provider, core_.port->ep());
  core_.loop.watch(alarm_.fd(), EPOLLIN, [this](std::uint32_t) { alarm_.set(std::nullopt); });
  // Only wakes: progress() looks at the port each time.
  if (core_.port->wait_fd() >= 0) core_.loop.watch(core_.port->wait_fd(), EPOLLIN, [](std::uint32_t) {});
  post_receives();
  return open_listener(listen);
}

Result<void> WorkerImpl::open_listener(OfiOptions::Listen listen) {
  ChannelOptions options;
  options.credentials = core_.options.credentials;
  const auto accepted = [this](std::unique_ptr<Channel> channel, std::function<void(Channel::Callbacks)> set) {
    add(OfiEndpoint::Role::kAcceptor).pairing().adopt(std::move(channel), set);
  };
  std::uint64_t instance = 0;
  os::fill_random(&instance, sizeof instance);
  auto listener =
      listen == OfiOptions::Listen::kTcp
          ? listen_tcp(core_.loop, core_.options.interface, options, accepted)
          : listen_unix(core_.loop, core_.options.socket_directory + "/ofi-" + std::to_string(instance) + ".sock",
                        options, accepted);
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  return {};
}

OfiEndpoint& WorkerImpl::add(OfiEndpoint::Role role) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  Hello ours;
  ours.slot = free_slots_.back();
  free_slots_.pop_back();
  os::fill_random(&ours.cookie, sizeof ours.cookie);
  ours.provider = provider_name_;
  ours.address = core_.port->address();
  slots_[ours.slot] = std::make_unique<OfiEndpoint>(core_, role, ours);
  ++connections_;
  post_receives();
  core_.loop.after(kWiringMax, [this, ours] { expect_wired(ours.slot, ours.cookie); });
  return *slots_[ours.slot];
}

OfiEndpoint* WorkerImpl::find(std::uint32_t slot, std::uint64_t cookie) {
  if (slot >= slots_.size()) return nullptr;
  OfiEndpoint* endpoint = slots_[slot].get();
  return endpoint != nullptr && endpoint->cookie() == cookie ? endpoint : nullptr;
}

void WorkerImpl::expect_wired(std::uint32_t slot, std::uint64_t cookie) {
  OfiEndpoint* endpoint = find(slot, cookie);
  if (endpoint == nullptr || endpoint->connected()) return;
  endpoint->end({base::Code::kUnavailable, "no packet came over the provider " + provider_name_ + " within 10 s"});
}

Result<Endpoint*> WorkerImpl::connect(const Address& peer) {
  if (peer.size() > kAddressBytesMax) return base::Error{base::Code::kInvalid, "the address is too long"};
  OfiEndpoint& endpoint = add(OfiEndpoint::Role::kConnector);
  auto connected = endpoint.pairing().connect(core_.loop, peer, core_.options.credentials);
  if (connected) return &endpoint;
  if (connected.error().code == base::Code::kInvalid) {
    endpoint.close();
    return connected.error();
  }
  endpoint.hang_up(connected.error());
  return &endpoint;
}

// --- Packets ---------------------------------------------------------------------------------------------

void WorkerImpl::post_receives() {
  const std::size_t wanted =
      std::min(core_.provider->info()->rx_attr->size, kReceivesPerConnection * (connections_ + 1));
  while (receives_ < wanted) {
    Packet* packet = core_.packets->take(Operation::What::kReceive);
    if (packet == nullptr) return;
    const auto posted = fi_recv(core_.port->ep(), packet->bytes, kPacketBytesMax, packet->descriptor, FI_ADDR_UNSPEC,
                                static_cast<Operation*>(packet));
    if (posted != 0) return core_.packets->give_back(*packet);
    ++receives_;
  }
}

void WorkerImpl::completed(Operation& operation, std::size_t received_bytes) {
  auto& packet = static_cast<Packet&>(operation);
  if (operation.what == Operation::What::kReceive) {
    --receives_;
    return take_in(packet, received_bytes);
  }
  core_.port->landed(*packet.to);
  core_.packets->give_back(packet);
}

void WorkerImpl::failed(Operation& operation, const base::Error& why) {
  auto& packet = static_cast<Packet&>(operation);
  if (operation.what == Operation::What::kReceive) {
    --receives_;
    ++core_.counters.dropped;  // Longer than a packet may be.
  } else {
    core_.port->landed(*packet.to);
    // After a packet that did not arrive, none after it can be delivered.
    if (OfiEndpoint* endpoint = find(packet.slot, packet.cookie)) {
      endpoint->hang_up({base::Code::kUnavailable, why.what});
    }
  }
  core_.packets->give_back(packet);
}

void WorkerImpl::take_in(Packet& packet, std::size_t bytes) {
  OfiEndpoint::Arrival arrival;
  arrival.packet = &packet;
  base::Cursor in(ConstBytes{packet.bytes, bytes});
  arrival.head = in.get<PacketHeader>();
  arrival.header = in.take(arrival.head.header_bytes);
  arrival.body = in.take(in.left());
  OfiEndpoint* endpoint =
      in.ok() && arrival.head.version == kWireVersion && arrival.head.header_bytes <= kHeaderBytesMax
          ? find(arrival.head.slot, arrival.head.cookie)
          : nullptr;
  if (endpoint == nullptr) ++core_.counters.dropped;
  if (endpoint == nullptr || !endpoint->arrived(arrival)) core_.packets->give_back(packet);
}

// --- Progress --------------------------------------------------------------------------------------------

std::size_t WorkerImpl::progress() {
  const std::size_t calls_before = core_.inbox_calls;
  const bool looks =
      std::exchange(loop_due_, false) || ++polls_ % kPollsPerLoop == 0 || core_.provider->shares_memory();
  if (looks) core_.loop.run_once(base::Duration::zero());
  for (OfiEndpoint* endpoint : std::exchange(core_.later, {})) endpoint->mark_busy();
  core_.may_deliver = true;
  std::size_t ended = core_.port->poll();
  core_.may_deliver = false;
  post_receives();
  dispatch_busy();  // Before anything is asked of a peer that has gone.
  ended += core_.accesses.progress();
  const std::size_t completed = core_.completions.run();
  if (!ending_.empty()) bury_ended();
  const std::size_t told = completed + core_.inbox_calls - calls_before;
  if (ended + told != 0) nap_ = kNapMin;
  return told;
}

void WorkerImpl::dispatch_busy() {
  if (core_.busy.empty()) return;
  for (OfiEndpoint* endpoint : std::exchange(core_.busy, {})) {
    endpoint->dispatch();
    if (!endpoint->ending() || slots_[endpoint->slot()].get() != endpoint) continue;
    ending_.push_back(std::move(slots_[endpoint->slot()]));
    free_slots_.push_back(endpoint->slot());
    --connections_;
  }
}

// Its completions have been told before: they were added before this round's run().
void WorkerImpl::bury_ended() {
  const auto is_over = [](const std::unique_ptr<OfiEndpoint>& endpoint) { return endpoint->over(); };
  if (!core_.completions.empty()) return;  // Perhaps its own: the next round tells them.
  const auto first = std::stable_partition(ending_.begin(), ending_.end(), std::not_fn(is_over));
  std::vector<std::unique_ptr<OfiEndpoint>> gone(std::make_move_iterator(first),
                                                 std::make_move_iterator(ending_.end()));
  ending_.erase(first, ending_.end());
  for (const auto& endpoint : gone) {
    if (endpoint->closed_by_owner() || !endpoint->known_to_owner()) continue;
    const InboxCall call(core_);
    core_.inbox.lost(*endpoint, endpoint->why());
  }
  for (auto* list : {&core_.busy, &core_.later}) {
    std::erase_if(*list, [&](const OfiEndpoint* listed) {
      return std::any_of(gone.begin(), gone.end(), [listed](const auto& endpoint) { return endpoint.get() == listed; });
    });
  }
}

bool WorkerImpl::arm() {
  if (!core_.busy.empty() || !core_.completions.empty()) return false;
  std::optional<base::Time> when = core_.loop.next_timer();
  const auto no_later_than = [&when](base::Time time) { when = when ? std::min(*when, time) : time; };
  if (!core_.later.empty()) no_later_than(os::now() + kRetry);
  if (const auto next = core_.accesses.next_try()) no_later_than(*next);
  if (!core_.port->arm() || !core_.accesses.arm()) return false;
  if (!wakes_sleepers() || !core_.accesses.wakes_sleepers()) {
    no_later_than(os::now() + nap_);
    nap_ = std::min<base::Duration>(2 * nap_, kNapMax);
  }
  alarm_.set(when);
  loop_due_ = true;
  return true;
}

WorkerImpl::~WorkerImpl() {
  listener_.reset();
  core_.may_deliver = false;
  for (auto* list : {&slots_, &ending_}) {
    for (const auto& endpoint : *list) {
      if (endpoint != nullptr) endpoint->close();
    }
  }
  for (OfiEndpoint* endpoint : std::exchange(core_.busy, {})) endpoint->dispatch();
  // Nothing touches memory any more after this.
  core_.accesses.shut();
  core_.port.reset();
}

}  // namespace ofi

Result<std::unique_ptr<OfiWorker>> make_ofi_worker(const WorkerOptions& options, Inbox& inbox,
                                                   const OfiOptions& ofi_options) {
  auto provider = ofi::Provider::open(ofi_options, options.interface);
  if (!provider) return provider.error();
  auto worker = std::make_unique<ofi::WorkerImpl>(
      options, inbox, ofi::Accesses::Options{*std::move(provider), ofi_options.access_stall_max});
  if (auto opened = worker->open(ofi_options.listen); !opened) return opened.error();
  return std::unique_ptr<OfiWorker>(std::move(worker));
}

}  // namespace mobula::transport

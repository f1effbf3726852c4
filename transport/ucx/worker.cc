#include <sys/epoll.h>

#include <algorithm>
#include <string>
#include <utility>

#include <ucp/api/ucp.h>

#include "core/os/alarm.h"
#include "core/os/event_loop.h"
#include "core/os/log.h"
#include "core/os/random.h"
#include "transport/channel.h"
#include "transport/ucx/core.h"
#include "transport/ucx/endpoint.h"
#include "transport/ucx/ucx.h"

namespace mobula::transport {
namespace ucx {
namespace {

// The sockets are looked at in one of so many calls of progress(), and always after a sleep: they tell of
// connections and deaths only.
constexpr unsigned kPollsPerLoop = 64;
constexpr int kRoundsMax = 64;
// UCX lets go of closed endpoints in its own time, without an event that would wake a sleeper.
constexpr base::Duration kEndingPoll = std::chrono::milliseconds(2);
constexpr base::Duration kDestructionMax = std::chrono::seconds(2);

class WorkerImpl final : public UcxWorker {
 public:
  WorkerImpl(const WorkerOptions& options, Inbox& inbox, std::shared_ptr<Context> context)
      : core_(options, inbox, std::move(context)) {
    os::fill_random(&core_.instance, sizeof core_.instance);
  }
  ~WorkerImpl() override;

  Result<void> open(UcxOptions::Listen listen);

  const Address& address() const override { return listener_->address(); }
  Result<Endpoint*> connect(const Address& peer) override;
  Result<std::unique_ptr<Region>> register_memory(Bytes memory) override { return core_.regions.add(memory); }
  Result<std::unique_ptr<Region>> register_file(int, std::size_t, Bytes mapped) override {
    return core_.regions.add(mapped);
  }
  std::size_t progress() override;
  int event_fd() const override { return loop_.fd(); }
  bool arm() override;
  UcxCounters counters() const override { return core_.counters; }

 private:
  Result<void> open_ucx();
  Result<void> open_listener(UcxOptions::Listen listen);
  UcxEndpoint& add(Pairing::Role role);
  static ucs_status_t on_message(void* self, const void* header, size_t header_bytes, void* data, size_t bytes,
                                 const ucp_am_recv_param_t* param);
  UcxEndpoint* addressee(const MessageHeader& head);
  void end_failed();
  void dispatch_busy();
  void bury_ended();
  bool let_go();

  Core core_;
  os::EventLoop loop_;
  os::Alarm alarm_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<UcxEndpoint>> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::unique_ptr<UcxEndpoint>> ending_;
  bool loop_due_ = true;
  unsigned polls_ = 0;
};

Result<void> WorkerImpl::open(UcxOptions::Listen listen) {
  if (auto opened = open_ucx(); !opened) return opened;
  loop_.watch(alarm_.fd(), EPOLLIN, [this](std::uint32_t) { alarm_.set(std::nullopt); });
  return open_listener(listen);
}

Result<void> WorkerImpl::open_ucx() {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  ucs_status_t status = ucp_worker_create(core_.context->get(), &params, &core_.ucp);
  if (status != UCS_OK) {
    core_.ucp = nullptr;
    return error_of("making a UCX worker", status);
  }
  ucp_am_handler_param_t handler{};
  handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
  handler.id = kActiveMessageId;
  handler.cb = &WorkerImpl::on_message;
  handler.arg = this;
  status = ucp_worker_set_am_recv_handler(core_.ucp, &handler);
  if (status != UCS_OK) return error_of("setting UCX's message handler", status);

  ucp_worker_attr_t attributes{};
  attributes.field_mask = UCP_WORKER_ATTR_FIELD_ADDRESS | UCP_WORKER_ATTR_FIELD_MAX_AM_HEADER;
  status = ucp_worker_query(core_.ucp, &attributes);
  if (status != UCS_OK) return error_of("asking for UCX's address", status);
  core_.ucx_address.assign(reinterpret_cast<const char*>(attributes.address), attributes.address_length);
  ucp_worker_release_address(core_.ucp, attributes.address);
  if (attributes.max_am_header < sizeof(MessageHeader) + kHeaderBytesMax) {
    return base::Error{base::Code::kInvalid, "these UCX transports take headers of " +
                                                 std::to_string(attributes.max_am_header) + " bytes only"};
  }
  int fd = -1;
  status = ucp_worker_get_efd(core_.ucp, &fd);
  if (status != UCS_OK) return error_of("asking for UCX's event descriptor", status);
  loop_.watch(fd, EPOLLIN, [](std::uint32_t) {});  // Only wakes: progress() looks at UCX each time.
  return {};
}

Result<void> WorkerImpl::open_listener(UcxOptions::Listen listen) {
  ChannelOptions options;
  options.credentials = core_.options.credentials;
  const auto accepted = [this](std::unique_ptr<Channel> channel, std::function<void(Channel::Callbacks)> set) {
    add(Pairing::Role::kAcceptor).pairing().adopt(std::move(channel), set);
  };
  auto listener =
      listen == UcxOptions::Listen::kTcp
          ? listen_tcp(loop_, core_.options.interface, options, accepted)
          : listen_unix(loop_, core_.options.socket_directory + "/ucx-" + std::to_string(core_.instance) + ".sock",
                        options, accepted);
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  return {};
}

UcxEndpoint& WorkerImpl::add(Pairing::Role role) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  Pairing::Identity identity;
  identity.slot = free_slots_.back();
  free_slots_.pop_back();
  os::fill_random(&identity.cookie, sizeof identity.cookie);
  slots_[identity.slot] = std::make_unique<UcxEndpoint>(core_, role, identity);
  return *slots_[identity.slot];
}

Result<Endpoint*> WorkerImpl::connect(const Address& peer) {
  if (peer.size() > kAddressBytesMax) return base::Error{base::Code::kInvalid, "the address is too long"};
  UcxEndpoint& endpoint = add(Pairing::Role::kConnector);
  auto connected = endpoint.pairing().connect(loop_, peer);
  if (connected) return &endpoint;
  if (connected.error().code == base::Code::kInvalid) {
    endpoint.close();
    return connected.error();
  }
  endpoint.hang_up(connected.error());
  return &endpoint;
}

ucs_status_t WorkerImpl::on_message(void* self, const void* header, size_t header_bytes, void* data, size_t bytes,
                                    const ucp_am_recv_param_t* param) {
  auto& worker = *static_cast<WorkerImpl*>(self);
  UcxEndpoint::Arrival arrival;
  arrival.data = data;
  arrival.payload_bytes = bytes;
  arrival.rendezvous = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  const ConstBytes whole{static_cast<const std::byte*>(header), header_bytes};
  base::Cursor in(whole);
  arrival.head = in.get<MessageHeader>();
  arrival.header = in.take(in.left());
  UcxEndpoint* endpoint = in.ok() ? worker.addressee(arrival.head) : nullptr;
  if (endpoint == nullptr || arrival.header.size() > kHeaderBytesMax || bytes > kMessageBytesMax) {
    ++worker.core_.counters.dropped;
    return arrival.rendezvous ? UCS_ERR_REJECTED : UCS_OK;
  }
  return endpoint->arrived(arrival);
}

UcxEndpoint* WorkerImpl::addressee(const MessageHeader& head) {
  if (head.version != kWireVersion || head.slot >= slots_.size()) return nullptr;
  UcxEndpoint* endpoint = slots_[head.slot].get();
  return endpoint != nullptr && endpoint->cookie() == head.cookie ? endpoint : nullptr;
}

std::size_t WorkerImpl::progress() {
  const std::size_t calls_before = core_.inbox_calls;
  if (std::exchange(loop_due_, false) || ++polls_ % kPollsPerLoop == 0) loop_.run_once(base::Duration::zero());
  core_.may_deliver = true;
  for (int round = 0; round < kRoundsMax && ucp_worker_progress(core_.ucp) != 0; ++round) {
  }
  core_.may_deliver = false;
  end_failed();
  dispatch_busy();
  const std::size_t completed = core_.completions.run();
  if (!ending_.empty()) bury_ended();
  return completed + core_.inbox_calls - calls_before;
}

void WorkerImpl::end_failed() {
  for (const auto& [link, why] : core_.links.take_failed()) {
    for (const auto& endpoint : slots_) {
      if (endpoint != nullptr && endpoint->link() == link.get()) endpoint->end({base::Code::kUnavailable, why});
    }
  }
}

void WorkerImpl::dispatch_busy() {
  if (core_.busy.empty()) return;
  for (UcxEndpoint* endpoint : std::exchange(core_.busy, {})) {
    endpoint->dispatch();
    if (!endpoint->ending() || slots_[endpoint->slot()].get() != endpoint) continue;
    ending_.push_back(std::move(slots_[endpoint->slot()]));
    free_slots_.push_back(endpoint->slot());
  }
}

// Its completions have been told before: dispatch() and UCX add them, and run() comes in between.
void WorkerImpl::bury_ended() {
  const auto may_go = [this](const std::unique_ptr<UcxEndpoint>& endpoint) {
    return endpoint->over() && std::find(core_.busy.begin(), core_.busy.end(), endpoint.get()) == core_.busy.end();
  };
  const auto first = std::stable_partition(ending_.begin(), ending_.end(), std::not_fn(may_go));
  std::vector<std::unique_ptr<UcxEndpoint>> gone(std::make_move_iterator(first),
                                                 std::make_move_iterator(ending_.end()));
  ending_.erase(first, ending_.end());
  for (const auto& endpoint : gone) {
    if (endpoint->closed_by_owner() || !endpoint->known_to_owner()) continue;
    const InboxCall call(core_);
    core_.inbox.lost(*endpoint, endpoint->why());
  }
  std::erase_if(core_.busy, [&](const UcxEndpoint* busy) {
    return std::any_of(gone.begin(), gone.end(), [busy](const auto& endpoint) { return endpoint.get() == busy; });
  });
}

bool WorkerImpl::arm() {
  if (!core_.busy.empty() || !core_.completions.empty()) return false;
  auto when = loop_.next_timer();
  if (!ending_.empty()) {
    const base::Time poll = os::now() + kEndingPoll;
    when = when ? std::min(*when, poll) : poll;
  }
  alarm_.set(when);
  if (ucp_worker_arm(core_.ucp) != UCS_OK) return false;
  loop_due_ = true;
  return true;
}

// Ends everything that UCX still does for us; false when it did not let go in time.
bool WorkerImpl::let_go() {
  for (const auto& endpoint : slots_) {
    if (endpoint != nullptr) endpoint->close();
  }
  dispatch_busy();
  const base::Time until = os::now() + kDestructionMax;
  while (core_.ops.in_use() != 0 && os::now() < until) ucp_worker_progress(core_.ucp);
  return core_.ops.in_use() == 0;
}

WorkerImpl::~WorkerImpl() {
  listener_.reset();
  if (core_.ucp == nullptr) return;
  if (!let_go()) {
    // Its memory may still be read and written: better leaked than used after it is freed.
    os::log(os::LogLevel::kError, "UCX does not end {} operations; leaking them", core_.ops.in_use());
    for (auto& endpoint : ending_) endpoint.release();
    return;
  }
  slots_.clear();
  ending_.clear();
  ucp_worker_destroy(core_.ucp);
}

}  // namespace
}  // namespace ucx

Result<std::unique_ptr<UcxWorker>> make_ucx_worker(const WorkerOptions& options, Inbox& inbox,
                                                   const UcxOptions& ucx_options) {
  auto context = ucx::Context::open(ucx_options);
  if (!context) return context.error();
  auto worker = std::make_unique<ucx::WorkerImpl>(options, inbox, *std::move(context));
  if (auto opened = worker->open(ucx_options.listen); !opened) return opened.error();
  return std::unique_ptr<UcxWorker>(std::move(worker));
}

}  // namespace mobula::transport

#include "transport/shm/worker.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "core/os/current_cpu.h"
#include "core/os/random.h"

namespace mobula::transport::shm {
namespace {

// How often a worker that never sleeps looks at sockets and pidfds: a system call each time, so not at each call;
// the clock is looked at only each kCallsPerClock calls (a call that delivers counts more, as it may be long).
constexpr unsigned kCallsPerClock = 64;
constexpr unsigned kCallsPerMessage = 4;
constexpr base::Duration kLookInterval = std::chrono::microseconds(50);
// What one progress() copies at most: well under a millisecond at memory speed.
constexpr std::size_t kSliceBytes = 2u << 20;
constexpr base::Duration kKeepLandings = std::chrono::seconds(1);
constexpr std::size_t kCookieDigits = 16;

std::uint64_t random_word() {
  std::uint64_t word;
  os::fill_random(&word, sizeof word);
  return word;
}

std::string hex(std::uint64_t word) {
  char digits[kCookieDigits + 1];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(word));
  return digits;
}

}  // namespace

Result<std::unique_ptr<Worker>> make_shm_worker(const WorkerOptions& options, Inbox& inbox) {
  return ShmWorker::make(options, inbox, {});
}
Result<std::unique_ptr<Worker>> make_shm_worker(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning) {
  return ShmWorker::make(options, inbox, tuning);
}

Result<std::unique_ptr<Worker>> ShmWorker::make(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning) {
  if (!is_ring_capacity(options.ring_bytes)) {
    return base::Error{base::Code::kInvalid, "ring_bytes must be a power of two of 4 KiB to 1 GiB"};
  }
  auto bell = Doorbell::create();
  if (!bell) return bell.error();
  os::Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) return base::Error{base::Code::kExhausted, std::string("timerfd: ") + std::strerror(errno)};
  std::unique_ptr<ShmWorker> worker(new ShmWorker(options, inbox, tuning, *std::move(bell), std::move(timer)));
  if (auto listening = worker->listen(); !listening) return listening.error();
  return std::unique_ptr<Worker>(std::move(worker));
}

ShmWorker::ShmWorker(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning, Doorbell bell, os::Fd timer)
    : options_(options),
      channel_options_{options.credentials, options.queue_bytes_max},
      bell_(std::move(bell)),
      timer_(std::move(timer)),
      regions_([this](std::uint64_t region) {
        for (const auto& [endpoint, owned] : endpoints_) endpoint->region_gone(region);
      }),
      context_{options_,
               channel_options_,
               tuning,
               inbox,
               loop_,
               bell_,
               regions_,
               random_word(),
               random_word(),
               {},
               {},
               {},
               {},
               {},
               Context::kNoCpu,
               0,
               0} {
  bell_.runs_on(os::current_cpu());
  // Edges, and never read: the producer's write alone is the event.
  loop_.watch(bell_.event().get(), EPOLLIN | EPOLLET, [this](std::uint32_t) { ++idle_events_; });
  loop_.watch(timer_.get(), EPOLLIN | EPOLLET, [this](std::uint32_t) { ++idle_events_; });
}

ShmWorker::~ShmWorker() {
  listener_.reset();
  endpoints_.clear();
}

Result<void> ShmWorker::listen() {
  const std::string path = options_.socket_directory + "/shm-" + hex(random_word());
  auto listener = listen_unix(loop_, path, channel_options_,
                              [this](auto channel, auto set_callbacks) { accept(std::move(channel), set_callbacks); });
  if (!listener) return listener.error();
  listener_ = *std::move(listener);
  address_ = listener_->address() + "?" + hex(context_.cookie);
  if (address_.size() > kAddressBytesMax) return base::Error{base::Code::kInvalid, "the socket's path is too long"};
  return {};
}

void ShmWorker::accept(std::unique_ptr<Channel> channel, const std::function<void(Channel::Callbacks)>& set_callbacks) {
  auto endpoint = std::make_unique<ShmEndpoint>(context_, std::move(channel), set_callbacks);
  ShmEndpoint* key = endpoint.get();
  endpoints_.emplace(key, std::move(endpoint));
}

// "unix:PATH?COOKIE"
Result<Endpoint*> ShmWorker::connect(const Address& peer) {
  std::uint64_t cookie = 0;
  const std::size_t mark = peer.rfind('?');
  const char* end = peer.data() + peer.size();
  if (mark == std::string::npos || peer.size() - mark - 1 != kCookieDigits || !peer.starts_with("unix:") ||
      std::from_chars(peer.data() + mark + 1, end, cookie, 16).ptr != end) {
    return base::Error{base::Code::kInvalid, "not a shm address: " + peer.substr(0, kAddressBytesMax)};
  }
  auto endpoint = std::make_unique<ShmEndpoint>(context_, peer.substr(0, mark), cookie);
  ShmEndpoint* key = endpoint.get();
  endpoints_.emplace(key, std::move(endpoint));
  return static_cast<Endpoint*>(key);
}

Result<std::unique_ptr<Region>> ShmWorker::register_memory(Bytes memory) { return regions_.add_memory(memory); }

Result<std::unique_ptr<Region>> ShmWorker::register_file(int fd, std::size_t offset, Bytes mapped) {
  return regions_.add_file(fd, offset, mapped);
}

std::size_t ShmWorker::progress() {
  if (armed_) {
    armed_ = false;
    loop_due_ = true;
    bell_.awake();
    bell_.runs_on(os::current_cpu());
  }
  std::size_t ran = 0;
  // By index: a callback may connect, and so add to the list.
  for (std::size_t i = 0; i < context_.open.size(); ++i) {
    ShmEndpoint* endpoint = context_.open[i];
    if (endpoint != nullptr && endpoint->has_record()) ran += endpoint->drain();
  }
  if (!context_.busy.empty()) ran += run_busy();
  if (!context_.done.empty()) ran += context_.done.run();
  calls_ += 1 + static_cast<unsigned>(ran) * kCallsPerMessage;
  if (calls_ >= kCallsPerClock || (ran == 0 && (loop_due_ || context_.expecting != 0))) [[unlikely]] {
    ran += look_around(ran);
  }
  if (!context_.retired.empty()) [[unlikely]]
    sweep();
  return ran;
}

std::size_t ShmWorker::run_busy() {
  context_.slice_budget = kSliceBytes;
  std::vector<ShmEndpoint*> batch;
  batch.swap(context_.busy);
  std::size_t ran = 0;
  for (ShmEndpoint* endpoint : batch) {
    endpoint->unmark_busy();
    if (!endpoint->is_closed()) ran += endpoint->work();
  }
  // The first one had the budget; next time it comes last.
  if (context_.busy.size() > 1) std::rotate(context_.busy.begin(), context_.busy.begin() + 1, context_.busy.end());
  return ran;
}

std::size_t ShmWorker::look_around(std::size_t ran) {
  if (ran == 0 && (loop_due_ || context_.expecting != 0)) return run_loop();
  calls_ = 0;
  bell_.runs_on(os::current_cpu());
  const os::Time now = os::now();
  if (now - looked_ < kLookInterval) return 0;
  return run_loop();
}

std::size_t ShmWorker::run_loop() {
  loop_due_ = false;
  calls_ = 0;
  looked_ = os::now();
  plan_trim();
  idle_events_ = 0;
  const std::size_t ran = loop_.run_once(base::Duration::zero());
  return ran - idle_events_;
}

bool ShmWorker::receiver_shares_cpu() {
  const std::uint32_t cpu = std::exchange(context_.receiver_cpu, Context::kNoCpu);
  return cpu != Context::kNoCpu && cpu == os::current_cpu();
}

bool ShmWorker::arm() {
  if (!context_.done.empty() || !context_.retired.empty()) return false;
  // Events that have been seen must not wake the sleeper again.
  if (loop_due_) run_loop();
  for (ShmEndpoint* endpoint : context_.busy) {
    if (!endpoint->announce_wait()) return false;
  }
  bell_.announce_sleep();
  if (!last_look()) {
    bell_.awake();
    return false;
  }
  plan_trim();
  wake_for_timers();
  armed_ = true;
  return true;
}

// After the fence of announce_sleep(): whatever comes later rings the bell.
bool ShmWorker::last_look() {
  if (!context_.done.empty() || !context_.retired.empty()) return false;
  for (const ShmEndpoint* endpoint : context_.open) {
    if (endpoint != nullptr && endpoint->has_record()) return false;
  }
  return std::all_of(context_.busy.begin(), context_.busy.end(), [](ShmEndpoint* e) { return e->may_sleep(); });
}

void ShmWorker::wake_for_timers() {
  const auto next = loop_.next_timer();
  if (!next || *next == timer_set_for_) return;
  timer_set_for_ = *next;
  const auto ns = std::max<std::int64_t>(1, next->time_since_epoch().count());
  itimerspec when{};
  when.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

// Landing buffers are worth keeping only while large messages come.
void ShmWorker::plan_trim() {
  if (trim_planned_ || context_.landings.kept_bytes() == 0) return;
  trim_planned_ = true;
  loop_.after(kKeepLandings, [this] {
    trim_planned_ = false;
    context_.landings.clear();
  });
}

void ShmWorker::sweep() {
  std::erase(context_.open, nullptr);
  // Their slots have moved.
  for (std::size_t i = 0; i < context_.open.size(); ++i) context_.open[i]->set_slot(i);
  for (ShmEndpoint* endpoint : std::exchange(context_.retired, {})) {
    std::erase(context_.busy, endpoint);
    endpoints_.erase(endpoint);
  }
}

}  // namespace mobula::transport::shm

#include "core/os/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace mobula::os {
namespace {

constexpr std::size_t kEventsPerWait = 64;
constexpr EventLoop::Id kWakeId = 0;  // No watch has it.

struct Watch {
  int fd;
  // Shared with the call in progress, so that a callback may remove its own watch.
  std::shared_ptr<EventLoop::Callback> callback;
};

struct Due {
  Time when;
  EventLoop::Id id;
  bool operator>(const Due& other) const { return when != other.when ? when > other.when : id > other.id; }
};

// Waits as epoll_pwait2 does; in whole milliseconds, rounded up, on a kernel before 5.11.
int wait_for_events(int epoll, std::array<epoll_event, kEventsPerWait>& events, std::optional<Duration> timeout) {
  static std::atomic<bool> has_nanoseconds{true};
  const std::int64_t ns = timeout ? std::max<std::int64_t>(0, timeout->count()) : 0;
  if (has_nanoseconds.load(std::memory_order_relaxed)) {
    const timespec wait{ns / 1'000'000'000, ns % 1'000'000'000};
    const int n = ::epoll_pwait2(epoll, events.data(), kEventsPerWait, timeout ? &wait : nullptr, nullptr);
    if (n >= 0 || errno != ENOSYS) return n;
    has_nanoseconds.store(false, std::memory_order_relaxed);
  }
  const std::int64_t ms = timeout ? std::min<std::int64_t>((ns + 999'999) / 1'000'000, 1'000'000'000) : -1;
  return ::epoll_wait(epoll, events.data(), kEventsPerWait, static_cast<int>(ms));
}

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::abort();
}

}  // namespace

struct EventLoop::State {
  Fd epoll;
  Fd wake;
  std::unordered_map<Id, Watch> watches;
  // A cancelled timer leaves its entry in `due`, to be dropped when it surfaces or when such entries
  // are the majority.
  std::unordered_map<Id, std::function<void()>> timers;
  std::vector<Due> due;  // A heap, the earliest in front.
  Id next_id = 1;
  std::atomic<bool> stopped{false};
  std::mutex mutex;
  std::vector<std::function<void()>> posted;  // Guarded by mutex.

  std::size_t run_posted();
  std::size_t run_timers();
  std::size_t run_watches(std::optional<Duration> timeout);
  std::optional<Time> next_timer();
  void compact();
};

Time now() { return std::chrono::steady_clock::now(); }

EventLoop::EventLoop() : state_(std::make_unique<State>()) {
  state_->epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
  state_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!state_->epoll.valid() || !state_->wake.valid()) die("mobula: event loop");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  if (::epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, state_->wake.get(), &event) != 0) die("mobula: epoll_ctl");
}

EventLoop::~EventLoop() = default;

EventLoop::Id EventLoop::watch(int fd, std::uint32_t events, Callback callback) {
  const Id id = state_->next_id++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  // Fails for a descriptor that is closed, is watched already or is a plain file: all bugs of the caller.
  if (::epoll_ctl(state_->epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) die("mobula: EventLoop::watch");
  state_->watches.emplace(id, Watch{fd, std::make_shared<Callback>(std::move(callback))});
  return id;
}

void EventLoop::modify(Id watch, std::uint32_t events) {
  const auto it = state_->watches.find(watch);
  if (it == state_->watches.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = watch;
  if (::epoll_ctl(state_->epoll.get(), EPOLL_CTL_MOD, it->second.fd, &event) != 0) die("mobula: EventLoop::modify");
}

void EventLoop::remove(Id watch) {
  const auto it = state_->watches.find(watch);
  if (it == state_->watches.end()) return;
  ::epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, it->second.fd, nullptr);
  // The callback is destroyed only after the table is whole again: its destructor may call back here.
  const Watch gone = std::move(it->second);
  state_->watches.erase(it);
}

EventLoop::Id EventLoop::at(Time when, std::function<void()> callback) {
  const Id id = state_->next_id++;
  state_->timers.emplace(id, std::move(callback));
  state_->due.push_back({when, id});
  std::push_heap(state_->due.begin(), state_->due.end(), std::greater<>{});
  return id;
}

void EventLoop::cancel(Id timer) {
  auto gone = state_->timers.extract(timer);
  if (!gone.empty()) state_->compact();
}

void EventLoop::post(std::function<void()> callback) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->posted.push_back(std::move(callback));
  }
  wake();
}

void EventLoop::wake() {
  const int saved = errno;  // A signal handler must leave it as it was.
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so that the loop is awake already.
  [[maybe_unused]] const auto n = ::write(state_->wake.get(), &one, sizeof one);
  errno = saved;
}

std::size_t EventLoop::run_once(std::optional<Duration> timeout) {
  if (const auto next = state_->next_timer()) {
    const Duration left = std::max(Duration::zero(), Duration(*next - now()));
    timeout = timeout ? std::min(*timeout, left) : left;
  }
  std::size_t ran = state_->run_watches(timeout);
  ran += state_->run_posted();
  ran += state_->run_timers();
  return ran;
}

void EventLoop::run() {
  while (!state_->stopped.exchange(false)) run_once(std::nullopt);
}

void EventLoop::stop() {
  state_->stopped.store(true);
  wake();
}

int EventLoop::fd() const { return state_->epoll.get(); }

std::optional<Time> EventLoop::next_timer() const { return state_->next_timer(); }

std::size_t EventLoop::State::run_watches(std::optional<Duration> timeout) {
  std::array<epoll_event, kEventsPerWait> events;
  const int n = wait_for_events(epoll.get(), events, timeout);
  if (n < 0 && errno != EINTR) die("mobula: epoll wait");
  std::size_t ran = 0;
  for (int i = 0; i < n; ++i) {
    const epoll_event event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kWakeId) {
      std::uint64_t count;
      [[maybe_unused]] const auto got = ::read(wake.get(), &count, sizeof count);
      continue;
    }
    // Ids are never used twice, so an event of a watch that a callback just removed finds nothing.
    const Id id = event.data.u64;  // A copy: the packed member is not aligned for a reference.
    const auto it = watches.find(id);
    if (it == watches.end()) continue;
    const auto callback = it->second.callback;
    (*callback)(event.events);
    ++ran;
  }
  return ran;
}

std::size_t EventLoop::State::run_posted() {
  std::vector<std::function<void()>> batch;
  {
    const std::lock_guard lock(mutex);
    batch.swap(posted);
  }
  for (auto& callback : batch) callback();
  return batch.size();
}

// Timers that a callback adds wait for the next run, even when they are due: no callback can starve the watches.
std::size_t EventLoop::State::run_timers() {
  const Time until = now();
  const Id first_new = next_id;
  std::size_t ran = 0;
  std::vector<Due> later;
  while (!due.empty() && due.front().when <= until) {
    std::pop_heap(due.begin(), due.end(), std::greater<>{});
    const Due entry = due.back();
    due.pop_back();
    if (entry.id >= first_new) {
      later.push_back(entry);
      continue;
    }
    auto timer = timers.extract(entry.id);
    if (timer.empty()) continue;
    timer.mapped()();
    ++ran;
  }
  for (const Due& entry : later) {
    due.push_back(entry);
    std::push_heap(due.begin(), due.end(), std::greater<>{});
  }
  return ran;
}

std::optional<Time> EventLoop::State::next_timer() {
  while (!due.empty() && !timers.contains(due.front().id)) {
    std::pop_heap(due.begin(), due.end(), std::greater<>{});
    due.pop_back();
  }
  if (due.empty()) return std::nullopt;
  return due.front().when;
}

void EventLoop::State::compact() {
  if (due.size() < 64 || due.size() < 2 * timers.size()) return;
  std::erase_if(due, [this](const Due& entry) { return !timers.contains(entry.id); });
  std::make_heap(due.begin(), due.end(), std::greater<>{});
}

}  // namespace mobula::os

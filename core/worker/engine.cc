#include "core/worker/engine.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/os/futex.h"
#include "core/os/process.h"

namespace mobula::runtime {
namespace {

using std::chrono::milliseconds;

constexpr auto kServiceTick = milliseconds(1);
constexpr int kServiceIdleTicks = 50;         // Then the service thread sleeps until it is needed.
constexpr std::uint64_t kRoundsPerLoop = 64;  // Sockets and timers are looked at this seldom while spinning.
constexpr std::uint64_t kRoundsPerLoopWithSockets = 4;

void sleep_on(int fd, std::optional<base::Duration> timeout) {
  pollfd p{fd, POLLIN, 0};
  timespec t{};
  if (timeout) {
    const auto ns = std::max<std::int64_t>(timeout->count(), 0);
    t = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ::ppoll(&p, 1, timeout ? &t : nullptr, nullptr);
}

}  // namespace

Engine::Engine() : pid_(static_cast<std::uint32_t>(::getpid())) {}

Engine::~Engine() { stop(); }

void Engine::stop() {
  stopping_.store(true);
  service_asleep_.store(0);
  os::futex_wake(service_asleep_, 1);
  loop_.wake();
  if (service_.joinable()) service_.join();
  release_token();
}

void Engine::start(Links& links, SpinTokens tokens) {
  links_ = &links;
  tokens_ = tokens;
  if (transport::Worker* shm = links.shm()) {
    loop_.watch(shm->event_fd(), EPOLLIN, [this](std::uint32_t) {
      if (links_->progress_shm() == 0) ++empty_looks_;
    });
  }
  const std::vector<int> fds = links.event_fds();
  for (std::size_t i = links.shm() != nullptr ? 1 : 0; i < fds.size(); ++i) {
    loop_.watch(fds[i], EPOLLIN, [this](std::uint32_t) { links_->progress_others(); });
  }
  service_ = std::thread([this] { serve(); });
}

std::size_t Engine::progress() {
  ++rounds_;
  progress_serial_.store(rounds_, std::memory_order_relaxed);
  std::size_t n = links_->progress_shm();
  const std::uint64_t period = links_->has_others() ? kRoundsPerLoopWithSockets : kRoundsPerLoop;
  bool look = false;
  if (rounds_ % period == 0) {
    n += look_at_loop();
    look = true;
  }
  if (n != 0 || look) tell_others();
  return n;
}

void Engine::progress_alone(const std::function<bool()>& done, base::Time deadline) {
  while (!done() && os::now() < deadline) {
    if (progress() == 0) loop_.run_once(kServiceTick);
    after_progress_();
  }
}

// Sockets, timers, and whatever else wakes a sleeper; how much of it was something.
std::size_t Engine::look_at_loop() {
  empty_looks_ = 0;
  const std::size_t found = links_->progress_unarmed();
  const std::size_t ran = loop_.run_once(base::Duration::zero());
  return found + ran - empty_looks_;
}

void Engine::tell_others() {
  after_progress_();
  if (followers_ != 0) followers_wake_.notify_all();
}

void Engine::notify() {
  if (followers_ != 0) followers_wake_.notify_all();
  if (driver_sleeps_) loop_.wake();
}

bool Engine::wait_slowly(Lock& lock, const Predicate& done, std::optional<base::Time> deadline,
                         const std::function<void()>& before_sleep) {
  bool told = false;
  while (driven_) {
    if (!told && before_sleep) {
      told = true;
      before_sleep();
    }
    ++followers_;
    if (deadline) {
      followers_wake_.wait_until(lock.lock_, *deadline);
    } else {
      followers_wake_.wait(lock.lock_);
    }
    --followers_;
    if (done()) return true;
    if (deadline && os::now() >= *deadline) return false;
  }
  driven_ = true;
  const bool result = drive(lock, done, deadline, told ? nullptr : before_sleep);
  driven_ = false;
  if (followers_ != 0) followers_wake_.notify_all();  // One of them drives on.
  wake_service();
  return result;
}

bool Engine::drive(Lock& lock, const Predicate& done, std::optional<base::Time> deadline,
                   const std::function<void()>& before_sleep) {
  bool told = false;
  for (;;) {
    if (spin(lock, done, deadline)) return true;
    if (deadline && os::now() >= *deadline) return done();
    if (!told && before_sleep) {
      told = true;
      before_sleep();
      continue;  // It may have made something ready.
    }
    sleep(lock, done, deadline);
    if (done()) return true;
  }
}

bool Engine::spin(Lock& lock, const Predicate& done, std::optional<base::Time> deadline) {
  pace_.begin(take_spin_token());
  const auto poll = [&] {
    if (progress() != 0) {
      pace_.found();
      if (done()) return true;
    }
    if (contenders_.load(std::memory_order_relaxed) != 0) let_others_in(lock);
    return false;
  };
  // Whom we have just sent something to has this core: polling before it has run finds nothing.
  if (links_->receiver_shares_cpu()) {
    if (!escape_.shared()) ::sched_yield();
  } else {
    escape_.apart();
  }
  for (;;) {
    if (poll()) return true;
    switch (pace_.turn()) {
      case SpinPace::Turn::kPoll: break;
      case SpinPace::Turn::kYielded:
        if (done()) return true;
        if (deadline && pace_.now() >= *deadline) return false;
        break;
      case SpinPace::Turn::kSleep: return poll() || done();
    }
  }
}

bool Engine::take_spin_token() {
  if (token_ < 0) token_ = tokens_.acquire(pid_);
  return token_ >= 0;
}

void Engine::let_others_in(Lock& lock) {
  lock.unlock();
  ::sched_yield();
  lock.lock();
}

void Engine::release_token() {
  if (token_ < 0) return;
  tokens_.release(token_);
  token_ = -1;
}

void Engine::sleep(Lock& lock, const Predicate& done, std::optional<base::Time> deadline) {
  // Before arming: an event that has been seen must not end the sleep at once.
  if (look_at_loop() != 0) return tell_others();
  if (!links_->arm()) {
    progress();
    return tell_others();  // Refusing, a transport has made progress too.
  }
  if (done()) return;  // Arming looks at connections too.
  release_token();
  std::optional<base::Time> wake = loop_.next_timer();
  if (deadline && (!wake || *deadline < *wake)) wake = deadline;
  std::optional<base::Duration> timeout;
  if (wake) timeout = *wake - os::now();
  ++sleeps_;
  driver_sleeps_ = true;
  lock.unlock();
  sleep_on(loop_.fd(), timeout);
  lock.lock();
  driver_sleeps_ = false;
  ++rounds_;
  progress_serial_.store(rounds_, std::memory_order_relaxed);
  // Mostly a message has come: it is not made to wait for a look at everything else, which the next sleep begins with.
  if (links_->progress_shm() != 0 || look_at_loop() != 0) tell_others();
}

void Engine::wake_service_slowly() {
  if (service_asleep_.exchange(0, std::memory_order_seq_cst) == 0) return;
  os::futex_wake(service_asleep_, 1);
  loop_.wake();
}

// Sleeps while there is nothing to look after; else, each millisecond, does a round if nobody else did one.  With no
// thread driving and no work known, a message from outside must still be answered: then it sleeps on the transports
// itself.
void Engine::serve() {
  os::set_process_name("mobula-service");
  std::uint64_t last = 0;
  int idle = 0;
  std::atomic<std::uint32_t> never{0};
  while (!stopping_.load(std::memory_order_relaxed)) {
    os::futex_wait(never, 0, kServiceTick);
    const bool busy = running_.load(std::memory_order_relaxed) != 0;
    const std::uint64_t serial = progress_serial_.load(std::memory_order_relaxed);
    const bool attended = serial != last;
    last = serial;
    if (attended) {
      idle = 0;
      continue;
    }
    Lock lock(*this);
    if (!driven_) {
      for (int i = 0; i < 256 && progress() != 0; ++i) {
      }
      look_at_loop();
      after_progress_();
      last = progress_serial_.load(std::memory_order_relaxed);
    }
    idle = (busy || outstanding_ != 0) ? 0 : idle + 1;
    if (idle < kServiceIdleTicks || stopping_.load()) continue;
    idle = 0;
    service_asleep_.store(1, std::memory_order_seq_cst);
    if (driven_ || running_.load(std::memory_order_seq_cst) != 0) {
      lock.unlock();
      while (!stopping_.load() && service_asleep_.load() != 0) os::futex_wait(service_asleep_, 1);
      continue;
    }
    if (links_->arm() && loop_.run_once(base::Duration::zero()) == 0) {
      std::optional<base::Duration> timeout;
      if (const auto timer = loop_.next_timer()) timeout = *timer - os::now();
      lock.unlock();
      sleep_on(loop_.fd(), timeout);
    }
    service_asleep_.store(0, std::memory_order_relaxed);
  }
}

}  // namespace mobula::runtime

#include "transport/shm/doorbell.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"

namespace mobula::transport::shm {
namespace {

// --- A model of the protocol, all interleavings ----------------------------------------------------------
//
// Stores of each side go through a store buffer (as x86 and C++'s relaxed stores may), which drains at any
// moment, and is empty after a full fence.  A state is what both have done and what memory holds; the
// search visits every state that some interleaving reaches.

enum class Fences { kBoth, kSleeperOnly, kProducerOnly };

struct State {
  int sleeper = 0;  // Next step.
  int producer = 0;
  int head = 0;               // In memory: records published.
  int sleeping = 0;           // In memory.
  int events = 0;             // Of the eventfd.
  int head_pending = 0;       // In the producer's store buffer: one publication.
  int sleeping_pending = -1;  // In the sleeper's: the value, or -1.
  int consumed = 0;
  int saw = 0;  // What the producer read from `sleeping`.
  auto operator<=>(const State&) const = default;
};

constexpr int kMessages = 2;

class Model {
 public:
  explicit Model(Fences fences) : fences_(fences) {}

  // True when some interleaving ends with the sleeper asleep, a message there and no event on its way.
  bool can_sleep_for_ever() {
    visit({});
    return lost_;
  }
  std::size_t states() const { return seen_.size(); }

 private:
  void visit(const State& s) {
    if (lost_ || !seen_.insert(s).second) return;
    bool moved = false;
    if (s.head_pending != 0) {  // Store buffers drain by themselves.
      State n = s;
      n.head += n.head_pending;
      n.head_pending = 0;
      visit(n);
      moved = true;
    }
    if (s.sleeping_pending >= 0) {
      State n = s;
      n.sleeping = n.sleeping_pending;
      n.sleeping_pending = -1;
      visit(n);
      moved = true;
    }
    moved |= step_sleeper(s);
    moved |= step_producer(s);
    if (!moved && s.consumed < kMessages) lost_ = true;
  }

  bool step_sleeper(State s) {
    switch (s.sleeper) {
      case 0:  // progress(): takes what is there.
        s.consumed = s.head;
        s.sleeper = s.consumed == kMessages ? 9 : 1;
        break;
      case 1:                                       // announce_sleep()
        if (s.sleeping_pending >= 0) return false;  // Room for one store in the model's buffer.
        s.sleeping_pending = 1;
        s.sleeper = 2;
        break;
      case 2:  // Its fence.
        if (fences_ != Fences::kProducerOnly && s.sleeping_pending >= 0) return false;
        s.sleeper = 3;
        break;
      case 3:  // The last look.
        s.sleeper = s.head != s.consumed ? 5 : 4;
        break;
      case 4:  // Asleep until there is an event.
        if (s.events == 0) return false;
        s.events = 0;
        s.sleeper = 5;
        break;
      case 5:  // awake()
        if (s.sleeping_pending >= 0) return false;
        s.sleeping_pending = 0;
        s.sleeper = 0;
        break;
      default: return false;
    }
    visit(s);
    return true;
  }

  bool step_producer(State s) {
    switch (s.producer % 5) {
      case 0:  // publish()
        if (s.producer / 5 == kMessages || s.head_pending != 0) return false;
        s.head_pending = 1;
        break;
      case 1:  // The fence of ring_if_sleeping().
        if (fences_ != Fences::kSleeperOnly && s.head_pending != 0) return false;
        break;
      case 2: s.saw = s.sleeping; break;
      case 3:  // The exchange, which drains the buffer first as locked instructions do.
        if (s.saw != 0) {
          if (s.head_pending != 0) return false;
          s.saw = s.sleeping;
          s.sleeping = 0;
        }
        break;
      case 4: s.events += s.saw; break;
    }
    ++s.producer;
    visit(s);
    return true;
  }

  const Fences fences_;
  std::set<State> seen_;
  bool lost_ = false;
};

TEST(DoorbellModel, NoInterleavingLosesAWakeUp) {
  Model model(Fences::kBoth);
  EXPECT_FALSE(model.can_sleep_for_ever());
  EXPECT_GT(model.states(), 500u);
}

TEST(DoorbellModel, EachOfTheTwoFencesIsNeeded) {
  EXPECT_TRUE(Model(Fences::kSleeperOnly).can_sleep_for_ever());
  EXPECT_TRUE(Model(Fences::kProducerOnly).can_sleep_for_ever());
}

// --- The real thing -------------------------------------------------------------------------------------

struct Bells {
  Bells() : own(*Doorbell::create()), peer(*PeerDoorbell::open(own.memory(), own.event().duplicate())) {}
  Doorbell own;
  PeerDoorbell peer;
};

bool is_readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

TEST(Doorbell, RingsOnlyForASleeper) {
  Bells bells;
  bells.peer.ring_if_sleeping();
  EXPECT_FALSE(is_readable(bells.own.event().get(), 0));
  bells.own.announce_sleep();
  bells.own.awake();
  bells.peer.ring_if_sleeping();
  EXPECT_FALSE(is_readable(bells.own.event().get(), 0));
  bells.own.announce_sleep();
  bells.peer.ring_if_sleeping();
  EXPECT_TRUE(is_readable(bells.own.event().get(), 0));
}

TEST(Doorbell, RingsOnceForEachSleep) {
  Bells bells;
  bells.own.announce_sleep();
  bells.peer.ring_if_sleeping();
  bells.peer.ring_if_sleeping();
  std::uint64_t count = 0;
  ASSERT_EQ(::read(bells.own.event().get(), &count, sizeof count), 8);
  EXPECT_EQ(count, 1u);
}

TEST(Doorbell, AnEdgeComesForEachRingThoughTheCounterIsNeverRead) {
  Bells bells;
  os::EventLoop loop;
  int rung = 0;
  loop.watch(bells.own.event().get(), EPOLLIN | EPOLLET, [&rung](std::uint32_t) { ++rung; });
  for (int i = 1; i <= 100; ++i) {
    bells.own.announce_sleep();
    EXPECT_FALSE(is_readable(loop.fd(), 0));
    bells.peer.ring_if_sleeping();
    EXPECT_TRUE(is_readable(loop.fd(), 0));
    loop.run_once(base::Duration::zero());
    EXPECT_EQ(rung, i);
  }
}

// Both sides race for each of many hand-overs; a lost wake-up shows as a sleep to the deadline.
TEST(Doorbell, LosesNoWakeUpInManyRaces) {
  Bells bells;
  std::atomic<std::uint64_t> head{0}, acknowledged{0};
  constexpr std::uint64_t kHandOvers = 300'000;
  std::thread producer([&] {
    std::uint64_t spins = 0;
    for (std::uint64_t i = 1; i <= kHandOvers; ++i) {
      // A pause that drifts over the sleeper's steps.
      for (std::uint64_t n = i % 97; n > 0; --n) asm volatile("" : : "r"(++spins));
      head.store(i, std::memory_order_release);
      bells.peer.ring_if_sleeping();
      while (acknowledged.load(std::memory_order_acquire) != i) {
        if (++spins % 1024 == 0) std::this_thread::yield();
      }
    }
  });
  const int fd = bells.own.event().get();
  bool lost = false;
  for (std::uint64_t seen = 0; seen < kHandOvers;) {
    const std::uint64_t now = head.load(std::memory_order_acquire);
    if (now != seen) {
      acknowledged.store(seen = now, std::memory_order_release);
      continue;
    }
    bells.own.announce_sleep();
    if (head.load(std::memory_order_acquire) == seen && !is_readable(fd, 10'000)) lost = true;
    bells.own.awake();
    if (lost) break;
    std::uint64_t count;
    [[maybe_unused]] const auto n = ::read(fd, &count, sizeof count);
  }
  EXPECT_FALSE(lost);
  if (lost) acknowledged.store(kHandOvers);
  producer.join();
}

}  // namespace
}  // namespace mobula::transport::shm

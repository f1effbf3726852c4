#include "core/os/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::os {
namespace {

using namespace std::chrono_literals;

constexpr Duration kDeadline = 10s;

struct Pipe {
  Fd read;
  Fd write;
  Pipe() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read = Fd(fds[0]);
    write = Fd(fds[1]);
  }
  void fill() const { EXPECT_EQ(::write(write.get(), "x", 1), 1); }
};

TEST(EventLoop, CallsAWatchWhileItsDescriptorIsReady) {
  EventLoop loop;
  const Pipe pipe;
  int calls = 0;
  loop.watch(pipe.read.get(), EPOLLIN, [&](std::uint32_t events) {
    EXPECT_NE(events & EPOLLIN, 0u);
    ++calls;
  });
  EXPECT_EQ(loop.run_once(0ns), 0u);
  pipe.fill();
  loop.run_once(kDeadline);
  loop.run_once(kDeadline);  // Not read: still ready.
  EXPECT_EQ(calls, 2);
}

TEST(EventLoop, CallsNoWatchThatAnotherCallbackOfTheSameRoundRemoved) {
  EventLoop loop;
  const Pipe first;
  const Pipe second;
  std::array<EventLoop::Id, 2> ids{};
  int calls = 0;
  const auto remove_both = [&](std::uint32_t) {
    ++calls;
    loop.remove(ids[0]);
    loop.remove(ids[1]);
  };
  ids[0] = loop.watch(first.read.get(), EPOLLIN, remove_both);
  ids[1] = loop.watch(second.read.get(), EPOLLIN, remove_both);
  first.fill();
  second.fill();
  loop.run_once(kDeadline);
  loop.run_once(0ns);
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, LetsACallbackReplaceItsOwnWatchOnTheSameNumber) {
  EventLoop loop;
  std::optional<Pipe> pipe(std::in_place);
  int old_calls = 0;
  int new_calls = 0;
  EventLoop::Id id = 0;
  id = loop.watch(pipe->read.get(), EPOLLIN, [&](std::uint32_t) {
    ++old_calls;
    loop.remove(id);
    pipe.emplace();  // As a rule takes the numbers that were just closed.
    loop.watch(pipe->read.get(), EPOLLIN, [&](std::uint32_t) { ++new_calls; });
    pipe->fill();
  });
  pipe->fill();
  loop.run_once(kDeadline);
  loop.run_once(kDeadline);
  EXPECT_EQ(old_calls, 1);
  EXPECT_EQ(new_calls, 1);
}

TEST(EventLoop, ChangesWhatAWatchWaitsFor) {
  EventLoop loop;
  const Pipe pipe;
  int calls = 0;
  const auto id = loop.watch(pipe.write.get(), 0, [&](std::uint32_t) { ++calls; });
  loop.run_once(0ns);
  EXPECT_EQ(calls, 0);
  loop.modify(id, EPOLLOUT);
  loop.run_once(kDeadline);
  EXPECT_EQ(calls, 1);
}

TEST(EventLoop, FiresTimersInTheOrderOfTheirTimesAndNotBefore) {
  EventLoop loop;
  std::vector<int> order;
  const Time start = now();
  loop.at(start + 20ms, [&] { order.push_back(2); });
  loop.at(start + 10ms, [&] { order.push_back(1); });
  loop.at(start + 20ms, [&] { order.push_back(3); });
  EXPECT_EQ(loop.next_timer(), start + 10ms);
  while (order.size() < 3) loop.run_once(kDeadline);
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
  EXPECT_GE(now() - start, 20ms);
  EXPECT_FALSE(loop.next_timer());
}

TEST(EventLoop, DoesNotFireATimerThatWasCancelledByAnEarlierOne) {
  EventLoop loop;
  int fired = 0;
  EventLoop::Id second = 0;
  loop.at(now(), [&] { loop.cancel(second); });
  second = loop.at(now(), [&] { ++fired; });
  loop.run_once(kDeadline);
  loop.run_once(0ns);
  EXPECT_EQ(fired, 0);
}

TEST(EventLoop, IsNotStarvedByATimerThatAlwaysSetsAnother) {
  EventLoop loop;
  const Pipe pipe;
  int ticks = 0;
  int reads = 0;
  std::function<void()> again = [&] {
    ++ticks;
    loop.at(now() - 1s, again);
  };
  again();
  loop.watch(pipe.read.get(), EPOLLIN, [&](std::uint32_t) { ++reads; });
  pipe.fill();
  for (int i = 0; i < 5; ++i) loop.run_once(kDeadline);
  EXPECT_EQ(ticks, 6);
  EXPECT_EQ(reads, 5);
}

TEST(EventLoop, ForgetsCancelledTimers) {
  EventLoop loop;
  for (int i = 0; i < 10'000; ++i) loop.cancel(loop.after(1h, [] {}));
  EXPECT_FALSE(loop.next_timer());
}

TEST(EventLoop, RunsWhatOtherThreadsPost) {
  EventLoop loop;
  int ran = 0;  // Touched by this thread only.
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) loop.post([&] { ++ran; });
    });
  }
  const Time until = now() + kDeadline;
  while (ran < 2000 && now() < until) loop.run_once(kDeadline);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(ran, 2000);
}

TEST(EventLoop, EndsWhenStoppedFromAnotherThread) {
  EventLoop loop;
  std::thread stopper([&] { loop.post([&] { loop.stop(); }); });
  loop.run();
  stopper.join();
}

TEST(EventLoop, WakesWithoutWork) {
  EventLoop loop;
  loop.wake();
  EXPECT_EQ(loop.run_once(kDeadline), 0u);
}

TEST(EventLoop, CanStandInAnotherLoop) {
  EventLoop outer;
  EventLoop inner;
  int ran = 0;
  outer.watch(inner.fd(), EPOLLIN, [&](std::uint32_t) { inner.run_once(0ns); });
  inner.post([&] { ++ran; });
  outer.run_once(kDeadline);
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace mobula::os

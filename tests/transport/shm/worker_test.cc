#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <vector>

#include "core/os/memory_file.h"
#include "tests/transport/shm/fixture.h"
#include "transport/cpu_sharing.h"
#include "transport/shm/ring.h"

namespace mobula::transport::shm::test {
namespace {

std::size_t open_descriptors() {
  const auto fds = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

TEST(ShmWorker, LeavesNeitherDescriptorsNorSocketsBehind) {
  {
    Node warm("warm");  // Whatever the libraries open once.
  }
  const std::size_t before = open_descriptors();
  {
    Node a("a"), b("b");
    Endpoint* to_b = a.connect(b);
    ASSERT_TRUE(open_up(a, b, to_b));
    EXPECT_LE(open_descriptors() - before, 2u * (7u + 3u));
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

TEST(ShmWorker, RefusesRingsOfOddSizes) {
  WorkerOptions options = options_named("odd");
  options.ring_bytes = 5000;
  Node listener("listener");
  EXPECT_FALSE(make_shm_worker(options, listener).ok());
}

TEST(ShmWorker, TheAddressOfAnEarlierWorkerReachesNobody) {
  Node a("a"), b("b");
  std::string address = b.worker->address();
  address.back() = address.back() == '0' ? '1' : '0';  // Another cookie at the same path.
  auto endpoint = a.worker->connect(address);
  ASSERT_TRUE(endpoint.ok());
  EXPECT_TRUE(run_until({&a, &b}, [&] { return a.lost_peers.contains(*endpoint); }));
  EXPECT_TRUE(b.peers.empty());
}

TEST(ShmWorker, ReachesItself) {
  Node a("a");
  Endpoint* self = a.connect(a);
  ASSERT_TRUE(self->send(3, {}, base::as_bytes("hello"), nullptr).ok());
  EXPECT_TRUE(run_until({&a}, [&] { return a.received_bytes == 5; }));
}

TEST(ShmWorker, SmallAndUnequalRingsCarryMessagesOfEverySize) {
  WorkerOptions small = options_named("small");
  small.ring_bytes = kRingBytesMin;
  Node a(small), b("b");
  Endpoint* to_b = a.connect(b);
  ASSERT_TRUE(open_up(a, b, to_b));
  std::string sent, got;
  b.on_message = [&](Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) {
    got += std::to_string(type) + std::string(base::as_string_view(header));
    EXPECT_TRUE(from.send(type, header, payload, nullptr).ok());
  };
  std::uint64_t count = 0;
  for (std::size_t bytes = 0; bytes < 100'000; bytes = bytes * 3 / 2 + 1) {
    const std::string header(bytes % 513, static_cast<char>('a' + bytes % 26));
    const std::string payload(bytes, static_cast<char>('A' + bytes % 26));
    sent += std::to_string(count) + header;
    ASSERT_TRUE(
        to_b->send(static_cast<std::uint16_t>(count), base::as_bytes(header), base::as_bytes(payload), nullptr).ok());
    ++count;
  }
  EXPECT_TRUE(run_until({&a, &b}, [&] { return a.received == count; }));
  EXPECT_EQ(got, sent);
  EXPECT_EQ(a.received_bytes, b.received_bytes);
}

TEST(ShmWorker, ASenderThatSleepsIsWokenWhenThereIsRoom) {
  WorkerOptions options = options_named("sender");
  options.ring_bytes = kRingBytesMin;
  options.queue_bytes_max = 64u << 10;
  Node b("receiver");
  const std::string address = b.worker->address();
  constexpr std::uint64_t kMessages = 20'000;
  std::atomic<bool> sent{false};
  std::thread sender([&] {
    Node a(options);
    Endpoint* to_b = *a.worker->connect(address);
    const std::string payload(300, 'x');
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (std::uint64_t i = 0; i < kMessages && std::chrono::steady_clock::now() < deadline;) {
      const auto took = to_b->send(1, {}, base::as_bytes(payload), nullptr);
      if (took) {
        ++i;
        continue;
      }
      ASSERT_EQ(took.error().code, base::Code::kExhausted);
      a.turn(10'000);  // A wake-up that gets lost shows as a turn to its end.
    }
    // The last of the queue may have left with a send(): writable() then comes with the next progress.
    while ((!sent || a.writable_calls == 0) && std::chrono::steady_clock::now() < deadline) a.turn(100);
    EXPECT_GT(a.writable_calls, 0);
  });
  EXPECT_TRUE(run_until({&b}, [&] { return b.received == kMessages; }));
  sent = true;
  sender.join();
}

TEST(ShmWorker, TwoThatSleepAndWakeEachOtherLoseNothing) {
  constexpr std::uint64_t kTrips = 20'000;
  Node a("a");
  const std::string address = a.worker->address();
  std::thread other([&] {
    Node b("b");
    b.on_message = [](Endpoint& from, std::uint16_t, ConstBytes, ConstBytes payload) {
      EXPECT_TRUE(from.send(1, {}, payload, nullptr).ok());
    };
    Endpoint* to_a = *b.worker->connect(address);
    EXPECT_TRUE(to_a->send(1, {}, base::as_bytes("ball"), nullptr).ok());
    while (b.lost_peers.empty()) {
      // Between spinning a little and sleeping at once, so that the sides meet at all steps.
      for (std::uint64_t spin = b.received % 7; spin > 0; --spin) b.worker->progress();
      b.turn(10'000);
    }
    EXPECT_GE(b.received, kTrips - 1);
  });
  a.on_message = [&](Endpoint& from, std::uint16_t, ConstBytes, ConstBytes payload) {
    if (a.received < kTrips) {
      EXPECT_TRUE(from.send(1, {}, payload, nullptr).ok());
    }
  };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (a.received < kTrips && std::chrono::steady_clock::now() < deadline) {
    for (std::uint64_t spin = a.received % 11; spin > 0; --spin) a.worker->progress();
    a.turn(10'000);
  }
  EXPECT_EQ(a.received, kTrips);
  a.worker.reset();
  other.join();
}

// Forks before anything else, so that the child has nothing of ours.
TEST(ShmWorker, AWakeUpAloneIsNothingThatHappened) {
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  ASSERT_TRUE(open_up(a, b, to_b));
  while (!b.worker->arm()) b.worker->progress();
  ASSERT_TRUE(to_b->send(1, {}, base::as_bytes("x"), nullptr).ok());
  pollfd p{b.worker->event_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&p, 1, 10'000), 1);
  EXPECT_EQ(b.worker->progress(), 1u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(b.worker->progress(), 0u);  // Among them the look at the bell.
  EXPECT_EQ(b.received, 1u);
}

// Puts the calling thread on one CPU for as long as it lives.
class PinnedThread {
 public:
  PinnedThread() { ::sched_getaffinity(0, sizeof before_, &before_); }
  ~PinnedThread() { ::sched_setaffinity(0, sizeof before_, &before_); }
  std::vector<int> cpus() const {
    std::vector<int> out;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &before_)) out.push_back(cpu);
    }
    return out;
  }
  void move_to(int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  }

 private:
  cpu_set_t before_;
};

TEST(ShmWorker, KnowsOnceForEachMessageWhetherItsReceiverSharesTheCpu) {
  PinnedThread thread;
  const std::vector<int> cpus = thread.cpus();
  thread.move_to(cpus[0]);
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  ASSERT_TRUE(open_up(a, b, to_b));
  auto& sharing = dynamic_cast<CpuSharing&>(*a.worker);
  EXPECT_FALSE(sharing.receiver_shares_cpu());
  const auto send = [&] { ASSERT_TRUE(to_b->send(1, {}, base::as_bytes("x"), nullptr).ok()); };
  send();
  EXPECT_TRUE(sharing.receiver_shares_cpu());
  EXPECT_FALSE(sharing.receiver_shares_cpu());
  if (cpus.size() < 2) GTEST_SKIP() << "one CPU: the other half needs two";
  thread.move_to(cpus[1]);
  while (!b.worker->arm()) b.worker->progress();
  b.worker->progress();  // Who wakes says where.
  thread.move_to(cpus[0]);
  send();
  EXPECT_FALSE(sharing.receiver_shares_cpu());
}

TEST(ShmWorker, CompleteMessagesOfAKilledPeerArriveBeforeItIsLost) {
  constexpr std::uint64_t kMessages = 500;
  int link[2];
  ASSERT_EQ(::pipe2(link, O_CLOEXEC), 0);
  Node a("survivor");
  const std::string address = a.worker->address();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Node b("victim");
    Endpoint* to_a = *b.worker->connect(address);
    while (!to_a->connected()) b.worker->progress();
    for (std::uint64_t i = 0; i < kMessages; ++i)
      static_cast<void>(to_a->send(1, {}, base::as_bytes("last words"), nullptr));
    [[maybe_unused]] const auto n = ::write(link[1], "x", 1);
    for (;;) ::pause();
  }
  ASSERT_TRUE(run_until({&a}, [&] { return !a.peers.empty(); }));
  char byte;
  ASSERT_EQ(::read(link[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  std::uint64_t before_loss = 0;
  a.on_lost = [&] { before_loss = a.received; };
  EXPECT_TRUE(run_until({&a}, [&] { return !a.lost_peers.empty(); }));
  EXPECT_EQ(before_loss, kMessages);
  EXPECT_NE(a.lost_peers.begin()->second.what.find("victim"), std::string::npos) << a.lost_peers.begin()->second.what;
  ::close(link[0]);
  ::close(link[1]);
}

struct SharedFile {
  explicit SharedFile(std::size_t bytes)
      : file(*os::make_memory_file("shm-test", bytes)),
        mapping(*os::map_file(file, 0, bytes, os::Access::kReadWrite)),
        bytes(mapping.data(), bytes) {}
  os::Fd file;
  os::Mapping mapping;
  Bytes bytes;
};

TEST(ShmWorker, AnUnregisteredRegionIsNotFoundByWhoHasMappedIt) {
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  SharedFile file(1 << 16);
  auto region = *b.worker->register_file(file.file.get(), 0, file.bytes);
  const std::string key(base::as_string_view(region->remote_key()));
  std::vector<std::byte> memory(100);
  auto local = *a.worker->register_memory(memory);
  Waiter first;
  to_b->read({0, 100, base::as_bytes(key)}, {*local, 0, 100}, first);
  ASSERT_TRUE(run_until({&a, &b}, [&] { return first.ended(); }));
  EXPECT_TRUE(first.result->ok());

  region.reset();
  Waiter later;
  ASSERT_TRUE(run_until({&a, &b}, [&] {
    later.result.reset();
    to_b->read({0, 100, base::as_bytes(key)}, {*local, 0, 100}, later);
    return run_until({&a, &b}, [&] { return later.ended(); }) && !later.result->ok();
  }));
  EXPECT_EQ(later.result->error().code, base::Code::kNotFound);
}

TEST(ShmWorker, AFileOpenForReadingOnlyIsARegionNobodyWrites) {
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  SharedFile file(1 << 16);
  file.bytes[10] = std::byte{42};
  const os::Fd read_only(::open(("/proc/self/fd/" + std::to_string(file.file.get())).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only.valid());
  auto region = *b.worker->register_file(read_only.get(), 0, file.bytes);
  const std::string key(base::as_string_view(region->remote_key()));
  std::vector<std::byte> memory(100);
  auto local = *a.worker->register_memory(memory);
  Waiter read, write;
  to_b->read({0, 100, base::as_bytes(key)}, {*local, 0, 100}, read);
  to_b->write({*local, 0, 100}, {0, 100, base::as_bytes(key)}, write);
  ASSERT_TRUE(run_until({&a, &b}, [&] { return read.ended() && write.ended(); }));
  EXPECT_TRUE(read.result->ok());
  EXPECT_EQ(memory[10], std::byte{42});
  ASSERT_FALSE(write.result->ok());
  EXPECT_EQ(write.result->error().code, base::Code::kInvalid);
}

TEST(ShmWorker, AFileThatCouldShrinkIsReadButNeverMapped) {
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  const std::string path = directory() + "/file";
  {
    const os::Fd file(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(file.get(), 8192), 0);
    auto mapping = *os::map_file(file, 0, 8192, os::Access::kReadWrite);
    mapping.data()[5000] = std::byte{9};
    auto region = *b.worker->register_file(file.get(), 0, {mapping.data(), 8192});
    const std::string key(base::as_string_view(region->remote_key()));
    std::vector<std::byte> memory(8192);
    auto local = *a.worker->register_memory(memory);
    Waiter read;
    to_b->read({0, 8192, base::as_bytes(key)}, {*local, 0, 8192}, read);
    ASSERT_TRUE(run_until({&a, &b}, [&] { return read.ended(); }));
    EXPECT_TRUE(read.result->ok());
    EXPECT_EQ(memory[5000], std::byte{9});
  }
  ::unlink(path.c_str());
}

TEST(ShmWorker, MessagesPassALargeReadUnderWay) {
  constexpr std::size_t kBytes = 64u << 20;
  Node a("a"), b("b");
  Endpoint* to_b = a.connect(b);
  SharedFile file(kBytes);
  auto region = *b.worker->register_file(file.file.get(), 0, file.bytes);
  const std::string key(base::as_string_view(region->remote_key()));
  std::vector<std::byte> memory(kBytes);
  auto local = *a.worker->register_memory(memory);
  b.on_message = [](Endpoint& from, std::uint16_t, ConstBytes, ConstBytes payload) {
    EXPECT_TRUE(from.send(1, {}, payload, nullptr).ok());
  };
  Waiter read;
  bool answered_before = false;
  a.on_message = [&](Endpoint&, std::uint16_t, ConstBytes, ConstBytes) { answered_before = !read.ended(); };
  to_b->read({0, kBytes, base::as_bytes(key)}, {*local, 0, kBytes}, read);
  ASSERT_TRUE(to_b->send(1, {}, base::as_bytes("ball"), nullptr).ok());
  ASSERT_TRUE(run_until({&a, &b}, [&] { return read.ended() && a.received == 1; }));
  EXPECT_TRUE(answered_before);
}

}  // namespace
}  // namespace mobula::transport::shm::test

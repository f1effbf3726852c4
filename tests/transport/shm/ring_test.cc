#include "transport/shm/ring.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::transport::shm {
namespace {

constexpr std::uint32_t kTag = 7;

// Ring memory that two processes may share.
class Memory {
 public:
  explicit Memory(std::size_t capacity) : bytes_(4096 + capacity) {
    at_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ring_ = {new (at_) RingControl, static_cast<std::byte*>(at_) + 4096, capacity};
  }
  ~Memory() { ::munmap(at_, bytes_); }
  const RingMemory& ring() const { return ring_; }
  std::uint64_t& word(std::size_t offset) { return *reinterpret_cast<std::uint64_t*>(ring_.data + offset); }

 private:
  std::size_t bytes_;
  void* at_;
  RingMemory ring_;
};

bool put(RingWriter& writer, std::size_t body, std::byte fill) {
  std::byte* at = writer.reserve(body);
  if (at == nullptr) return false;
  std::memset(at, static_cast<int>(fill), body);
  writer.publish(kTag, body);
  return true;
}

// A body that tells its own length and content: 8 bytes of number, then bytes that follow from it.
void fill_body(std::byte* at, std::size_t body, std::uint64_t number) {
  std::memcpy(at, &number, sizeof number);
  for (std::size_t i = sizeof number; i < body; ++i) at[i] = static_cast<std::byte>(number * 31 + i);
}
bool body_is(base::ConstBytes body, std::uint64_t number) {
  std::uint64_t got;
  std::memcpy(&got, body.data(), sizeof got);
  if (got != number) return false;
  for (std::size_t i = sizeof number; i < body.size(); ++i) {
    if (body[i] != static_cast<std::byte>(number * 31 + i)) return false;
  }
  return true;
}
std::size_t size_of(std::uint64_t number, std::size_t most) {
  return 8 + base::ConstBytes::size_type(number * 7919 % (most - 7));
}

TEST(Ring, IsEmptyWhenNew) {
  Memory memory(kRingBytesMin);
  RingReader reader(memory.ring());
  EXPECT_FALSE(reader.has_record());
  EXPECT_EQ(reader.front().tag, 0u);
  EXPECT_TRUE(reader.is_valid());
}

TEST(Ring, CapacitiesArePowersOfTwoWithinBounds) {
  EXPECT_TRUE(is_ring_capacity(kRingBytesMin));
  EXPECT_TRUE(is_ring_capacity(kRingBytesMax));
  EXPECT_FALSE(is_ring_capacity(kRingBytesMin - 1));
  EXPECT_FALSE(is_ring_capacity(kRingBytesMin + 64));
  EXPECT_FALSE(is_ring_capacity(kRingBytesMax * 2));
  EXPECT_FALSE(is_ring_capacity(0));
}

TEST(Ring, AnUnpublishedReservationIsNotARecord) {
  Memory memory(kRingBytesMin);
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  std::memset(writer.reserve(100), 0xff, 100);
  EXPECT_FALSE(reader.has_record());
  ASSERT_TRUE(put(writer, 8, std::byte{3}));
  EXPECT_EQ(reader.front().body.size(), 8u);
}

TEST(Ring, DeliversInOrderWhateverTheSizes) {
  Memory memory(kRingBytesMin);
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  std::deque<std::uint64_t> expected;
  std::mt19937 random(1);
  std::uint64_t next = 0;
  for (int step = 0; step < 200'000; ++step) {
    if (random() % 2 == 0) {
      const std::size_t body = size_of(next, writer.record_bytes_max());
      if (std::byte* at = writer.reserve(body)) {
        fill_body(at, body, next);
        writer.publish(kTag, body);
        expected.push_back(next++);
      }
    } else if (!expected.empty()) {
      const auto record = reader.front();
      ASSERT_EQ(record.tag, kTag);
      ASSERT_EQ(record.body.size(), size_of(expected.front(), writer.record_bytes_max()));
      ASSERT_TRUE(body_is(record.body, expected.front()));
      reader.pop();
      expected.pop_front();
    } else {
      ASSERT_EQ(reader.front().tag, 0u);
    }
    ASSERT_TRUE(writer.is_valid() && reader.is_valid());
  }
  EXPECT_GT(writer.tail(), 100 * kRingBytesMin);
}

TEST(Ring, AnEmptyRingTakesARecordOfAnySizeAtAnyPosition) {
  for (std::size_t start = 0; start < 3 * kRingBytesMin; start += kCellBytes) {
    Memory memory(kRingBytesMin);
    RingWriter writer(memory.ring());
    RingReader reader(memory.ring());
    while (writer.tail() < start) {
      ASSERT_TRUE(put(writer, 8, std::byte{1}));
      ASSERT_EQ(reader.front().tag, kTag);
      reader.pop();
    }
    ASSERT_TRUE(put(writer, writer.record_bytes_max(), std::byte{2})) << "at " << start;
    EXPECT_EQ(reader.front().body.size(), writer.record_bytes_max());
  }
}

TEST(Ring, IsFullOnlyUntilAQuarterHasBeenRead) {
  Memory memory(kRingBytesMin);
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  int held = 0;
  while (put(writer, 8, std::byte{1})) ++held;
  EXPECT_EQ(held, static_cast<int>(kRingBytesMin / kCellBytes) - 1);
  EXPECT_FALSE(writer.has_room(8));
  int freed = 0;
  do {
    ASSERT_EQ(reader.front().tag, kTag);
    ++freed;
  } while (!reader.pop());
  EXPECT_EQ(freed, static_cast<int>(kRingBytesMin / kCellBytes / 4));
  EXPECT_TRUE(writer.has_room(8));
  EXPECT_TRUE(put(writer, 8, std::byte{1}));
}

TEST(Ring, RefusesALengthBeyondTheRecordLimit) {
  Memory memory(kRingBytesMin);
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  ASSERT_TRUE(put(writer, 8, std::byte{1}));
  memory.word(0) = (std::uint64_t{kTag} << 32) | 0xffff'fff0u;
  EXPECT_EQ(reader.front().tag, 0u);
  EXPECT_FALSE(reader.is_valid());
}

TEST(Ring, RefusesARecordThatWouldRunOverTheEnd) {
  Memory memory(kRingBytesMin);
  RingWriter writer(memory.ring());
  RingReader reader(memory.ring());
  for (std::size_t i = 0; i + 1 < kRingBytesMin / kCellBytes; ++i) {
    ASSERT_TRUE(put(writer, 8, std::byte{1}));
    reader.front();
    reader.pop();
  }
  memory.word(kRingBytesMin - kCellBytes) = (std::uint64_t{kTag} << 32) | 100;
  EXPECT_EQ(reader.front().tag, 0u);
  EXPECT_FALSE(reader.is_valid());
}

TEST(Ring, RefusesAWrapMarkAtTheStartAndAfterAnother) {
  Memory memory(kRingBytesMin);
  const std::uint64_t mark = std::uint64_t{RingWriter::kWrapTag} << 32;
  RingReader at_start(memory.ring());
  memory.word(0) = mark;
  EXPECT_EQ(at_start.front().tag, 0u);
  EXPECT_FALSE(at_start.is_valid());

  Memory other(kRingBytesMin);
  RingWriter writer(other.ring());
  RingReader reader(other.ring());
  ASSERT_TRUE(put(writer, 8, std::byte{1}));
  reader.front();
  reader.pop();
  other.word(kCellBytes) = mark;
  other.word(0) = mark;
  EXPECT_EQ(reader.front().tag, 0u);
  EXPECT_FALSE(reader.is_valid());
}

TEST(Ring, RefusesATagOfZeroWithALength) {
  Memory memory(kRingBytesMin);
  RingReader reader(memory.ring());
  memory.word(0) = 64;
  EXPECT_EQ(reader.front().tag, 0u);
  EXPECT_FALSE(reader.is_valid());
}

TEST(Ring, AWriterRefusesAPositionAheadOfItsTailOrBehindAnEarlierOne) {
  for (const std::uint64_t position : {std::uint64_t{1} << 40, std::uint64_t{0}}) {
    Memory memory(kRingBytesMin);
    RingWriter writer(memory.ring());
    RingReader reader(memory.ring());
    for (std::size_t i = 0; i < 2 * kRingBytesMin / kCellBytes; ++i) {
      ASSERT_TRUE(put(writer, 8, std::byte{1}));
      reader.front();
      reader.pop();
    }
    memory.ring().control->consumed = position;
    while (put(writer, 8, std::byte{1})) {
    }
    EXPECT_FALSE(writer.is_valid()) << position;
    EXPECT_FALSE(put(writer, 8, std::byte{1}));
  }
}

// Whatever bytes a peer writes, the reader hands out only what lies inside the ring.
TEST(Ring, NeverReadsOutsideTheRingWhateverIsInIt) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 2'000; ++round) {
    Memory memory(kRingBytesMin);
    for (std::size_t at = 0; at < kRingBytesMin; at += 8) {
      const std::uint64_t length = random() % 1'200;
      memory.word(at) = random() % 8 == 0 ? random() : (random() % 5 << 32 | length);
      if (random() % 16 == 0) memory.word(at) = std::uint64_t{RingWriter::kWrapTag} << 32;
    }
    RingReader reader(memory.ring());
    for (int i = 0; i < 1'000; ++i) {
      const auto record = reader.front();
      if (record.tag == 0) break;
      const auto* end = memory.ring().data + kRingBytesMin;
      ASSERT_GE(record.body.data(), memory.ring().data);
      ASSERT_LE(record.body.data() + record.body.size(), end);
      reader.pop();
    }
  }
}

void produce(RingWriter& writer, std::uint64_t count) {
  for (std::uint64_t number = 0; number < count;) {
    const std::size_t body = size_of(number, writer.record_bytes_max());
    std::byte* at = writer.reserve(body);
    if (at == nullptr) {
      std::this_thread::yield();
      continue;
    }
    fill_body(at, body, number);
    writer.publish(kTag, body);
    ++number;
  }
}

// False when something else came than was sent.
bool consume(RingReader& reader, std::uint64_t count) {
  for (std::uint64_t number = 0; number < count;) {
    if (!reader.has_record()) {
      std::this_thread::yield();
      continue;
    }
    const auto record = reader.front();
    if (record.tag != kTag || !body_is(record.body, number)) return false;
    reader.pop();
    ++number;
  }
  return true;
}

TEST(Ring, CarriesEverythingBetweenTwoThreads) {
  for (const std::size_t capacity : {std::size_t{4096}, std::size_t{65536}}) {
    Memory memory(capacity);
    RingWriter writer(memory.ring());
    RingReader reader(memory.ring());
    const std::uint64_t count = capacity == 4096 ? 20'000 : 2'000;
    std::thread producer([&] { produce(writer, count); });
    EXPECT_TRUE(consume(reader, count));
    producer.join();
    EXPECT_TRUE(writer.is_valid() && reader.is_valid());
  }
}

TEST(Ring, CarriesEverythingBetweenTwoProcesses) {
  constexpr std::uint64_t kCount = 10'000;
  Memory memory(16384);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    RingWriter writer(memory.ring());
    produce(writer, kCount);
    ::_exit(0);
  }
  RingReader reader(memory.ring());
  EXPECT_TRUE(consume(reader, kCount));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace mobula::transport::shm

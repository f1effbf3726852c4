#include <array>

#include "core/os/memory_file.h"
#include "tests/transport/conformance.h"

namespace mobula::test {
namespace {

using transport::LocalSpan;
using transport::Region;
using transport::RemoteSpan;

std::unique_ptr<Region> must(base::Result<std::unique_ptr<Region>> made) {
  EXPECT_TRUE(made.ok()) << made.error().what;
  return made.ok() ? std::move(*made) : nullptr;
}

// Memory of a memory file, mapped here.
struct FileMemory {
  explicit FileMemory(std::size_t size) {
    auto made = os::make_memory_file("conformance", size);
    EXPECT_TRUE(made.ok()) << made.error().what;
    file = std::move(*made);
    auto mapped = os::map_file(file, 0, size, os::Access::kReadWrite);
    EXPECT_TRUE(mapped.ok()) << mapped.error().what;
    mapping = std::move(*mapped);
  }
  Bytes bytes() const { return {mapping.data(), mapping.size()}; }
  void fill(const std::string& with) { std::memcpy(mapping.data(), with.data(), with.size()); }

  os::Fd file;
  os::Mapping mapping;
};

TEST_P(Conformance, RegisteredHeapMemoryIsReadAtEverySize) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  const std::size_t large = backend().traits.large_bytes;
  std::string theirs = pattern(1, large + 64);
  std::string mine(large + 64, '\0');
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local = must(a.worker().register_memory(bytes(mine)));
  for (std::size_t size = 1; size <= large; size *= 8) {
    Done done;
    to_b->read({33, size, remote->remote_key()}, {*local, 7, size}, done);
    EXPECT_FALSE(done.ended());
    ASSERT_TRUE(world().until([&] { return done.ended(); })) << size << " bytes";
    ASSERT_TRUE(done.ok()) << done.error().what;
    EXPECT_EQ(done.bytes(), size);
    EXPECT_TRUE(mine.compare(7, size, theirs, 33, size) == 0) << size << " bytes";
    EXPECT_EQ(mine[size + 7], '\0');
  }
}

TEST_P(Conformance, RegisteredHeapMemoryIsWrittenAtEverySize) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  const std::size_t large = backend().traits.large_bytes;
  std::string theirs(large + 64, '\0');
  std::string mine = pattern(2, large + 64);
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local = must(a.worker().register_memory(bytes(mine)));
  for (std::size_t size = 1; size <= large; size *= 8) {
    Done done;
    to_b->write({*local, 5, size}, {21, size, remote->remote_key()}, done);
    ASSERT_TRUE(world().until([&] { return done.ended(); })) << size << " bytes";
    ASSERT_TRUE(done.ok()) << done.error().what;
    EXPECT_EQ(done.bytes(), size);
    EXPECT_TRUE(theirs.compare(21, size, mine, 5, size) == 0) << size << " bytes";
    EXPECT_EQ(theirs[size + 21], '\0');
    EXPECT_EQ(theirs[20], '\0');
  }
}

TEST_P(Conformance, PartOfAMemoryFileIsReadAndWritten) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  constexpr std::size_t kSize = 4u << 20;
  const std::size_t page = os::page_size();
  FileMemory theirs(kSize + page);
  FileMemory mine(kSize);
  theirs.fill(pattern(3, kSize + page));
  const auto remote = must(b.worker().register_file(theirs.file.get(), page, theirs.bytes().subspan(page)));
  const auto local = must(a.worker().register_file(mine.file.get(), 0, mine.bytes()));
  ASSERT_EQ(remote->bytes().size(), kSize);
  Done read;
  to_b->read({100, kSize - 100, remote->remote_key()}, {*local, 0, kSize - 100}, read);
  ASSERT_TRUE(world().until([&] { return read.ended(); }));
  ASSERT_TRUE(read.ok()) << read.error().what;
  EXPECT_EQ(std::memcmp(mine.bytes().data(), theirs.bytes().data() + page + 100, kSize - 100), 0);
  const std::string fresh = pattern(4, kSize);
  mine.fill(fresh);
  Done write;
  to_b->write({*local, 0, kSize}, {0, kSize, remote->remote_key()}, write);
  ASSERT_TRUE(world().until([&] { return write.ended(); }));
  ASSERT_TRUE(write.ok()) << write.error().what;
  EXPECT_EQ(std::memcmp(theirs.bytes().data() + page, fresh.data(), kSize), 0);
  EXPECT_EQ(std::memcmp(theirs.bytes().data(), pattern(3, page).data(), page), 0) << "bytes before the region changed";
}

TEST_P(Conformance, ManyReadsAndWritesMayBeUnderWay) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  constexpr std::size_t kPieces = 300;
  constexpr std::size_t kPiece = 10'000;
  std::string theirs = pattern(7, 2 * kPieces * kPiece);
  std::string mine(2 * kPieces * kPiece, '\0');
  const std::string news = pattern(8, kPieces * kPiece);
  std::memcpy(mine.data() + kPieces * kPiece, news.data(), news.size());
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local = must(a.worker().register_memory(bytes(mine)));
  std::vector<Done> done(2 * kPieces);
  for (std::size_t i = 0; i < kPieces; ++i) {
    to_b->read({i * kPiece, kPiece, remote->remote_key()}, {*local, i * kPiece, kPiece}, done[i]);
    const std::size_t at = (kPieces + i) * kPiece;
    to_b->write({*local, at, kPiece}, {at, kPiece, remote->remote_key()}, done[kPieces + i]);
  }
  ASSERT_TRUE(to_b->send(1, {}, view("between"), nullptr).ok());
  ASSERT_TRUE(world().until([&] {
    return std::all_of(done.begin(), done.end(), [](const Done& d) { return d.ended(); }) && !b.messages.empty();
  }));
  for (const Done& d : done) ASSERT_TRUE(d.ok()) << d.error().what;
  EXPECT_TRUE(mine.compare(0, kPieces * kPiece, theirs, 0, kPieces * kPiece) == 0);
  EXPECT_TRUE(theirs.compare(kPieces * kPiece, std::string::npos, news) == 0);
}

TEST_P(Conformance, AccessOutsideARegionIsRefusedAndHarmless) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  std::string theirs = pattern(1, 4096);
  std::string mine = pattern(2, 8192);
  const std::string before_theirs = theirs;
  const std::string before_mine = mine;
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local = must(a.worker().register_memory(bytes(mine)));
  const std::uint64_t far = ~std::uint64_t{0};
  struct Case {
    std::uint64_t remote_offset;
    std::size_t local_offset;
    std::size_t size;
  };
  for (const Case& c : {Case{4096, 0, 1}, Case{0, 0, 4097}, Case{4000, 0, 97}, Case{far, 0, 1}, Case{far - 10, 0, 11},
                        Case{1u << 30, 0, 8}, Case{0, 8192, 1}, Case{0, 8000, 193}, Case{0, far, 2}}) {
    Done read;
    Done write;
    to_b->read({c.remote_offset, c.size, remote->remote_key()}, {*local, c.local_offset, c.size}, read);
    to_b->write({*local, c.local_offset, c.size}, {c.remote_offset, c.size, remote->remote_key()}, write);
    EXPECT_FALSE(read.ended() || write.ended());
    ASSERT_TRUE(world().until([&] { return read.ended() && write.ended(); }));
    EXPECT_FALSE(read.ok()) << c.remote_offset << " + " << c.size;
    EXPECT_FALSE(write.ok()) << c.remote_offset << " + " << c.size;
  }
  EXPECT_EQ(theirs, before_theirs);
  EXPECT_EQ(mine, before_mine);
  Done good;
  to_b->read({0, 4096, remote->remote_key()}, {*local, 0, 4096}, good);
  ASSERT_TRUE(world().until([&] { return good.ended(); }));
  EXPECT_TRUE(good.ok());
  EXPECT_TRUE(b.lost_peers.empty() && a.lost_peers.empty());
}

TEST_P(Conformance, KeysThatWereNotGivenAreRefused) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  std::string theirs = pattern(1, 4096);
  std::string mine(4096, 'm');
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local = must(a.worker().register_memory(bytes(mine)));
  const std::string key(base::as_string_view(remote->remote_key()));
  ASSERT_LE(key.size(), 256u);
  std::string inverted = key;
  for (char& c : inverted) c = static_cast<char>(~c);
  std::string stale;
  {
    std::string other = pattern(3, 4096);
    stale = base::as_string_view(must(b.worker().register_memory(bytes(other)))->remote_key());
  }
  for (const std::string& wrong : {std::string(), std::string("x"), key.substr(1), key + "x", inverted, stale}) {
    Done read;
    Done write;
    to_b->read({0, 64, view(wrong)}, {*local, 0, 64}, read);
    to_b->write({*local, 0, 64}, {0, 64, view(wrong)}, write);
    ASSERT_TRUE(world().until([&] { return read.ended() && write.ended(); }));
    EXPECT_FALSE(read.ok());
    EXPECT_FALSE(write.ok());
  }
  EXPECT_EQ(mine, std::string(4096, 'm'));
  EXPECT_EQ(theirs, pattern(1, 4096));
}

TEST_P(Conformance, AKeyGivenToOnePeerWorksForAnother) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Party& c = world().add("third");
  Endpoint* a_to_b = nullptr;
  Endpoint* b_to_a = nullptr;
  std::tie(a_to_b, b_to_a) = world().join(a, b);
  Endpoint* c_to_b = nullptr;
  Endpoint* b_to_c = nullptr;
  std::tie(c_to_b, b_to_c) = world().join(c, b);
  std::string theirs = pattern(1, 100'000);
  std::string mine_a(100'000, '\0');
  std::string mine_c(100'000, '\0');
  const auto remote = must(b.worker().register_memory(bytes(theirs)));
  const auto local_a = must(a.worker().register_memory(bytes(mine_a)));
  const auto local_c = must(c.worker().register_memory(bytes(mine_c)));
  std::array<Done, 2> done;
  a_to_b->read({0, theirs.size(), remote->remote_key()}, {*local_a, 0, theirs.size()}, done[0]);
  c_to_b->read({0, theirs.size(), remote->remote_key()}, {*local_c, 0, theirs.size()}, done[1]);
  ASSERT_TRUE(world().until([&] { return done[0].ended() && done[1].ended(); }));
  EXPECT_TRUE(done[0].ok() && done[1].ok());
  EXPECT_TRUE(mine_a == theirs && mine_c == theirs);
}

}  // namespace
}  // namespace mobula::test

#include "tests/transport/party.h"

#include <poll.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/random.h"

namespace mobula::test {
namespace {

bool in_progress = false;  // The suite drives all parties from one thread.

}  // namespace

void Fabric::wait(std::span<transport::Worker* const> workers, base::Duration at_most) {
  wait_for_any(workers, at_most);
}

void wait_for_any(std::span<transport::Worker* const> workers, base::Duration at_most) {
  std::vector<pollfd> fds;
  for (transport::Worker* worker : workers) {
    if (!worker->arm()) return;
    fds.push_back({worker->event_fd(), POLLIN, 0});
  }
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at_most).count();
  ::poll(fds.data(), fds.size(), static_cast<int>(ms));
}

void Done::done(base::Result<std::size_t> bytes) {
  EXPECT_TRUE(in_progress) << "a completion was called outside progress()";
  EXPECT_FALSE(result_.has_value()) << "a completion was called twice";
  result_.emplace(std::move(bytes));
}

std::unique_ptr<Party> Party::make(Fabric& fabric, const transport::WorkerOptions& options) {
  std::unique_ptr<Party> party(new Party);
  auto worker = fabric.make_worker(options, *party);
  EXPECT_TRUE(worker.ok()) << worker.error().what;
  if (worker.ok()) party->worker_ = std::move(*worker);
  return party;
}

std::size_t Party::progress() {
  if (!worker_) return 0;
  in_progress = true;
  const std::size_t ran = worker_->progress();
  in_progress = false;
  return ran;
}

Endpoint& Party::connect(const transport::Address& address) {
  const auto endpoint = worker_->connect(address);
  EXPECT_TRUE(endpoint.ok()) << endpoint.error().what;
  return **endpoint;
}

void Party::accepted(Endpoint& endpoint) {
  EXPECT_TRUE(in_progress);
  peers.push_back(&endpoint);
}

void Party::message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) {
  EXPECT_TRUE(in_progress);
  if (on_message) return on_message(from, type, header, payload);
  messages.push_back(
      {&from, type, std::string(base::as_string_view(header)), std::string(base::as_string_view(payload))});
}

void Party::writable(Endpoint& endpoint) {
  EXPECT_TRUE(in_progress);
  ++writables[&endpoint];
}

void Party::lost(Endpoint& endpoint, const base::Error& why) {
  EXPECT_TRUE(in_progress);
  EXPECT_FALSE(lost_peers.contains(&endpoint)) << "a peer was lost twice: " << why.what;
  lost_peers.emplace(&endpoint, why);
  std::erase(peers, &endpoint);
}

World::World(const Backend& backend)
    : directory_([] {
        auto made = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove);
        if (!made.ok()) {
          ADD_FAILURE() << made.error().what;
          std::abort();
        }
        return std::move(*made);
      }()),
      fabric_(backend.make_fabric()) {}

World::~World() = default;

transport::WorkerOptions World::options(const std::string& name) const {
  transport::WorkerOptions options;
  options.credentials.key.fill(std::byte{0x5a});
  options.credentials.self.id = os::random_id<base::WorkerId>();
  options.credentials.self.incarnation = 7;
  options.credentials.self.name = name;
  options.socket_directory = directory_.path();
  return options;
}

Party& World::add(const transport::WorkerOptions& options) {
  parties_.push_back(Party::make(*fabric_, options));
  return *parties_.back();
}

bool World::until(const std::function<bool()>& happened, std::chrono::milliseconds limit) {
  std::vector<Party*> all;
  for (const auto& party : parties_) all.push_back(party.get());
  return until_by(std::move(all), happened, limit);
}

bool World::until_by(std::vector<Party*> driven, const std::function<bool()>& happened,
                     std::chrono::milliseconds limit) {
  const base::Time end = os::now() + limit;
  while (!happened()) {
    std::size_t ran = 0;
    for (Party* party : driven) ran += party->progress();
    if (happened()) return true;
    if (os::now() > end) return false;
    if (ran != 0) continue;
    std::vector<transport::Worker*> workers;
    for (Party* party : driven) {
      if (party->worker_exists()) workers.push_back(&party->worker());
    }
    fabric_->wait(workers, std::chrono::milliseconds(20));
  }
  return true;
}

std::pair<Endpoint*, Endpoint*> World::join(Party& from, Party& to) {
  const std::size_t had = to.peers.size();
  Endpoint& mine = from.connect(to);
  EXPECT_TRUE(until([&] { return mine.connected() && to.peers.size() > had; }));
  return {&mine, to.peers.empty() ? nullptr : to.peers.back()};
}

std::string pattern(std::uint64_t seed, std::size_t size) {
  std::string out(size, '\0');
  std::size_t i = 0;
  for (std::uint64_t word = 0; i < size; ++word, i += 8) {
    const std::uint64_t mixed = base::mix64(seed * 0x1'0000'0001u + word);
    std::memcpy(out.data() + i, &mixed, std::min<std::size_t>(8, size - i));
  }
  return out;
}

}  // namespace mobula::test

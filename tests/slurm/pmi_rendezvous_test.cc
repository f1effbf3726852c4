#include "slurm/pmi_rendezvous.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "slurm/pmi_client.h"
#include "slurm/pmi_server.h"

namespace mobula::slurm {
namespace {

base::Time soon() { return os::now() + std::chrono::seconds(20); }

// A launcher's end of PMI for two tasks, as Hydra and srun's pmi2 answer.
class FakePmi {
 public:
  explicit FakePmi(std::string values_max) : values_max_(std::move(values_max)) {
    for (auto& task : tasks_) {
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, task.data()), 0);
    }
    thread_ = std::thread([this] { run(); });
  }
  ~FakePmi() {
    thread_.join();
    for (auto& task : tasks_) {
      ::close(task[0]);
      ::close(task[1]);
    }
  }
  int fd(std::size_t task) const { return tasks_[task][0]; }
  const std::map<std::string, std::string>& kept() const { return kept_; }
  int finalized() const { return finalized_; }

 private:
  std::string line(std::size_t task) {
    std::string out;
    for (char c; ::read(tasks_[task][1], &c, 1) == 1 && c != '\n';) out += c;
    return out;
  }
  void say(std::size_t task, const std::string& text) {
    EXPECT_EQ(::write(tasks_[task][1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static std::string field(const std::string& line, const std::string& name) {
    const std::size_t at = line.find(" " + name + "=");
    return at == std::string::npos ? ""
                                   : line.substr(at + name.size() + 2, line.find(' ', at + 1) - at - name.size() - 2);
  }
  // Each task in turn up to the barrier, then each to its end.
  void run() {
    for (std::size_t task : {0u, 1u}) serve(task, "cmd=barrier_in");
    for (std::size_t task : {0u, 1u}) say(task, "cmd=barrier_out rc=0\n");
    for (std::size_t task : {0u, 1u}) serve(task, "cmd=finalize");
  }
  void serve(std::size_t task, const std::string& until) {
    for (;;) {
      const std::string in = line(task);
      if (in.rfind("cmd=init", 0) == 0) say(task, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
      if (in == "cmd=get_maxes")
        say(task, "cmd=maxes kvsname_max=64 keylen_max=64 vallen_max=" + values_max_ + " rc=0\n");
      if (in == "cmd=get_my_kvsname") say(task, "cmd=my_kvsname kvsname=kvs_1_0 rc=0\n");
      if (in.rfind("cmd=put", 0) == 0) {
        kept_[field(in, "key")] = field(in, "value");
        say(task, "cmd=put_result rc=0 msg=success\n");
      }
      if (in.rfind("cmd=get ", 0) == 0) {
        const auto it = kept_.find(field(in, "key"));
        say(task, it == kept_.end() ? "cmd=get_result rc=-1 msg=unknown\n"
                                    : "cmd=get_result rc=0 msg=success value=" + it->second + "\n");
      }
      if (in == "cmd=finalize") {
        ++finalized_;
        say(task, "cmd=finalize_ack rc=0\n");
      }
      if (in == until || in.empty()) return;
    }
  }

  const std::string values_max_;
  std::array<std::array<int, 2>, 2> tasks_{};
  std::map<std::string, std::string> kept_;
  int finalized_ = 0;
  std::thread thread_;
};

Invitation invitation() {
  return {.uid = ::geteuid(),
          .start = "16.0",
          .build_id = "b1d",
          .cluster = "c",
          .host_key = "h",
          .gcs_unix = "unix:/x",
          .gcs_tcp = "tcp:10.0.0.1:1",
          .job = os::random_id<base::JobId>(),
          .secret = os::Secret::generate()};
}

void exchange(const std::string& values_max, bool in_parts) {
  FakePmi pmi(values_max);
  const Invitation sent = invitation();
  std::thread rank_zero([&] {
    auto way = make_pmi_rendezvous({.fd = pmi.fd(0)}, soon());
    ASSERT_TRUE(way) << way.error().what;
    EXPECT_EQ((*way)->start_name(), "kvs_1_0");
    const auto published = (*way)->publish(sent, soon());
    EXPECT_TRUE(published) << published.error().what;
  });
  std::thread rank_one([&] {
    auto way = make_pmi_rendezvous({.fd = pmi.fd(1)}, soon());
    ASSERT_TRUE(way) << way.error().what;
    const auto got = (*way)->fetch(soon());
    ASSERT_TRUE(got) << got.error().what;
    EXPECT_EQ(got->gcs_tcp, sent.gcs_tcp);
    EXPECT_TRUE(got->secret.equals(sent.secret.view()));
  });
  rank_zero.join();
  rank_one.join();
  EXPECT_EQ(pmi.kept().size() > 2, in_parts);
  EXPECT_EQ(pmi.finalized(), 2);
}

TEST(PmiRendezvous, what_rank_zero_publishes_comes_after_the_barrier) { exchange("1024", false); }
TEST(PmiRendezvous, an_invitation_longer_than_a_value_goes_in_parts) { exchange("100", true); }

TEST(PmiRendezvous, a_launcher_that_closes_or_talks_nonsense_is_an_error) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const std::string nonsense = "cmd=something_else rc=0\n";
  ASSERT_EQ(::write(ends[1], nonsense.data(), nonsense.size()), static_cast<ssize_t>(nonsense.size()));
  EXPECT_FALSE(make_pmi_rendezvous({.fd = ends[0]}, soon()));
  ::shutdown(ends[1], SHUT_WR);
  EXPECT_FALSE(make_pmi_rendezvous({.fd = ends[0]}, soon()));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_FALSE(make_pmi_rendezvous({.fd = ends[0]}, soon()));
}

TEST(PmiRendezvous, a_task_that_does_not_come_is_an_error_in_time) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  const auto way = make_pmi_rendezvous({.fd = ends[0]}, os::now() + std::chrono::milliseconds(20));
  ASSERT_FALSE(way);
  EXPECT_EQ(way.error().code, base::Code::kDeadline);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Our own server's lines for three tasks, until each has closed its end.  `knows_names`: as launchers do that keep any.
class ServedPmi {
 public:
  explicit ServedPmi(bool knows_names) : knows_names_(knows_names) {
    for (auto& task : tasks_) {
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, task.data()), 0);
    }
    thread_ = std::thread([this] { run(); });
  }
  ~ServedPmi() {
    for (auto& task : tasks_) ::shutdown(task[0], SHUT_RDWR);
    thread_.join();
    for (auto& task : tasks_) {
      ::close(task[0]);
      ::close(task[1]);
    }
  }
  int fd(std::size_t task) const { return tasks_[task][0]; }

 private:
  void run() {
    std::array<std::string, 3> received;
    for (std::size_t open = tasks_.size(); open > 0;) {
      std::array<pollfd, 3> polled{};
      for (std::size_t i = 0; i < polled.size(); ++i) polled[i] = {tasks_[i][1], POLLIN, 0};
      ASSERT_GE(::poll(polled.data(), polled.size(), -1), 0);
      open = 0;
      for (std::size_t i = 0; i < polled.size(); ++i) {
        std::array<char, 4096> buffer{};
        const ssize_t n = ::recv(tasks_[i][1], buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n != 0) ++open;
        if (n > 0) received[i].append(buffer.data(), static_cast<std::size_t>(n));
        take(static_cast<std::uint32_t>(i), received[i]);
      }
    }
  }
  void take(std::uint32_t task, std::string& received) {
    for (std::size_t end = received.find('\n'); end != std::string::npos; end = received.find('\n')) {
      const std::string line = received.substr(0, end);
      received.erase(0, end + 1);
      const bool refuses = !knows_names_ && line.find("_name ") != std::string::npos;
      const auto lines = refuses ? std::vector<PmiServer::Line>{{task, "cmd=unknown rc=-1"}} : server_.take(task, line);
      for (const auto& out : lines) {
        const std::string text = out.text + "\n";
        EXPECT_EQ(::send(tasks_[out.task][1], text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
      }
    }
  }

  const bool knows_names_;
  PmiServer server_{3, "here"};
  std::array<std::array<int, 2>, 3> tasks_{};
  std::thread thread_;
};

PmiRendezvousOptions task_of(const ServedPmi& pmi, std::uint32_t rank) {
  return {.fd = pmi.fd(rank),
          .rank = rank,
          .size = 3,
          .host = "n" + std::to_string(rank + 1),
          .hosts = {"n1", "n2", "n3"},
          .afterwards = Afterwards::kMpi};
}

// What rank 0 says when one of three tasks does not come.
std::string said_without(std::uint32_t missing, bool knows_names) {
  ServedPmi pmi(knows_names);
  const std::uint32_t other = missing == 1 ? 2 : 1;
  std::thread there([&] {
    const auto way = make_pmi_rendezvous(task_of(pmi, other), soon());
    ASSERT_TRUE(way) << way.error().what;
    // It publishes its name after half of this, long before rank 0 asks.
    EXPECT_FALSE((*way)->attend(os::now() + std::chrono::milliseconds(300)));
  });
  const auto way = make_pmi_rendezvous(task_of(pmi, 0), soon());
  there.join();
  if (!way) return way.error().what;
  const auto met = (*way)->attend(os::now() + std::chrono::milliseconds(300));
  EXPECT_FALSE(met);
  return met ? "" : met.error().what;
}

TEST(PmiRendezvous, rank_zero_names_the_task_and_the_host_that_have_not_come) {
  for (const std::uint32_t missing : {1u, 2u}) {
    const std::string said = said_without(missing, true);
    EXPECT_NE(said.find("1 of 3 tasks are missing: rank" + std::to_string(missing)), std::string::npos) << said;
    EXPECT_NE(said.find("nothing came from: n" + std::to_string(missing + 1)), std::string::npos) << said;
  }
}

TEST(PmiRendezvous, a_launcher_that_keeps_no_names_is_said_to_be_the_reason) {
  const std::string said = said_without(2, false);
  EXPECT_NE(said.find("this launcher's PMI cannot say which"), std::string::npos) << said;
}

TEST(PmiRendezvous, a_task_that_comes_after_names_were_published_is_in_time) {
  constexpr auto kHalf = std::chrono::milliseconds(400);
  ServedPmi pmi(true);
  std::vector<std::thread> early;
  for (const std::uint32_t rank : {0u, 1u}) {
    early.emplace_back([&pmi, rank, kHalf] {
      const auto way = make_pmi_rendezvous(task_of(pmi, rank), soon());
      ASSERT_TRUE(way) << way.error().what;
      const auto met = (*way)->attend(os::now() + kHalf + kHalf);
      EXPECT_TRUE(met) << met.error().what;
    });
  }
  PmiClient late(pmi.fd(2));
  ASSERT_TRUE(late.begin(soon()));
  while (!late.lookup_name("mobula-here-1", soon())) std::this_thread::yield();
  EXPECT_TRUE(late.barrier(soon()));
  for (auto& one : early) one.join();
}

}  // namespace
}  // namespace mobula::slurm

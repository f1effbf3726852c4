// The rendezvous through a real munged, that of with-slurm.sh: who is let in, and what somebody has who watches.
#include "slurm/munge.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "core/os/socket.h"
#include "slurm/framed.h"
#include "slurm/munge_exchange.h"
#include "slurm/munge_rendezvous.h"

namespace mobula::slurm {
namespace {

constexpr const char* kHost = "127.0.0.1";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}
std::string munge_socket() { return variable("FIXTURE_DIR") + "/run/munge.sock"; }
base::Time soon() { return os::now() + std::chrono::seconds(10); }

class MungeRendezvous : public testing::Test {
 protected:
  MungeRendezvous()
      : invitation_{.uid = ::geteuid(),
                    .start = "16.0",
                    .build_id = "",
                    .cluster = "c",
                    .host_key = "h",
                    .gcs_unix = "u",
                    .gcs_tcp = "t",
                    .job = os::random_id<base::JobId>(),
                    .secret = os::Secret::generate()},
        munge_(std::move(*Munge::open(munge_socket()))),
        zero_(make_munge_rendezvous(std::move(*Munge::open(munge_socket())),
                                    {.start = "16.0", .listen = kHost, .candidates = {}})) {}

  void SetUp() override { ASSERT_TRUE(zero_->publish(invitation_, soon())); }

  JoinScope scope() const { return {.uid = ::geteuid(), .start = "16.0"}; }

  // Sends that credential to rank 0; the credential with which it answers, or how it ends.
  static base::Result<std::string> send(const std::string& credential) {
    auto socket = os::connect_tcp(kHost, rendezvous_ports("16.0").front());
    if (!socket) return socket.error();
    if (const auto open = await(*socket, POLLOUT, soon()); !open) return open.error();
    const auto sent = send_framed(*socket, base::as_bytes(credential), soon());
    return sent ? receive_framed(*socket, soon()) : base::Result<std::string>(sent.error());
  }
  static void expect_turned_away(const std::string& credential) {
    const auto answer = send(credential);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, base::Code::kLost) << answer.error().what;
  }

  const Invitation invitation_;
  const std::unique_ptr<Munge> munge_;
  const std::unique_ptr<Rendezvous> zero_;
};

TEST_F(MungeRendezvous, a_leader_of_the_same_start_gets_the_secret) {
  const auto leader = make_munge_rendezvous(std::move(*Munge::open(munge_socket())),
                                            {.start = "16.0", .listen = "", .candidates = {kHost}});
  const auto got = leader->fetch(soon());
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_TRUE(got->secret.equals(invitation_.secret.view()));
}

TEST_F(MungeRendezvous, a_port_that_somebody_else_has_is_passed_over_on_both_ends) {
  const auto ports = rendezvous_ports("18.0");
  const auto first = os::listen_tcp(kHost, ports[0]);  // Answers nobody.
  ASSERT_TRUE(first);
  const auto zero = make_munge_rendezvous(std::move(*Munge::open(munge_socket())),
                                          {.start = "18.0", .listen = kHost, .candidates = {}});
  ASSERT_TRUE(zero->publish(invitation_, soon()));
  EXPECT_FALSE(os::listen_tcp(kHost, ports[1])) << "it listens on the next";
  const auto leader = make_munge_rendezvous(std::move(*Munge::open(munge_socket())),
                                            {.start = "18.0", .listen = "", .candidates = {kHost}});
  const auto got = leader->fetch(soon());
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_TRUE(got->secret.equals(invitation_.secret.view()));
}

TEST_F(MungeRendezvous, another_job_of_the_same_user_is_turned_away) {
  JoinScope other = scope();
  other.start = "17.0";
  expect_turned_away(*munge_->seal(JoinQuestion(other).bytes()));
}

TEST_F(MungeRendezvous, a_credential_counts_once) {
  const JoinQuestion question(scope());
  const std::string credential = *munge_->seal(question.bytes());
  ASSERT_TRUE(send(credential));
  expect_turned_away(credential);
}

TEST_F(MungeRendezvous, who_opens_every_credential_does_not_find_the_secret) {
  const JoinQuestion question(scope());
  const auto answer = send(*munge_->seal(question.bytes()));
  ASSERT_TRUE(answer) << answer.error().what;
  const auto seen = munge_->unseal(*answer);  // As root, or with the site's key.
  ASSERT_TRUE(seen);
  const std::string_view secret = base::as_string_view(invitation_.secret.view());
  EXPECT_EQ(seen->find(secret), std::string::npos);
  const auto invitation = question.open(*seen);
  ASSERT_TRUE(invitation);
  EXPECT_NE(invitation->find(secret), std::string::npos);
  EXPECT_FALSE(JoinQuestion(scope()).open(*seen));
}

// The watcher has the site's key and sits between: it puts its own public key into the question.  It would have to pose
// as both ends; whoever only changes one is found out.
TEST_F(MungeRendezvous, a_public_key_that_was_exchanged_on_the_way_is_found_out) {
  const JoinQuestion question(scope());
  const JoinQuestion watcher(scope());
  std::string changed = question.bytes();
  changed.replace(changed.size() - 32, 32, watcher.bytes().substr(watcher.bytes().size() - 32));
  const auto answer = send(*munge_->seal(changed));
  ASSERT_TRUE(answer);
  const auto opened = question.open(*munge_->unseal(*answer));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, base::Code::kDenied);
}

// As `munge` seals standard input for another user, readable by us.
std::string sealed_by_nobody(const std::string& bytes) {
  const std::string path = variable("FIXTURE_SHARED") + "/question";
  std::ofstream(path, std::ios::binary) << bytes;
  const std::string command = "setpriv --reuid=65534 --regid=65534 --clear-groups munge --socket=" + munge_socket() +
                              " --restrict-uid=0 <" + path;
  const std::unique_ptr<FILE, int (*)(FILE*)> munge(::popen(command.c_str(), "r"), ::pclose);
  std::array<char, 4096> line{};
  if (munge == nullptr || std::fgets(line.data(), line.size(), munge.get()) == nullptr) return {};
  ::unlink(path.c_str());
  const std::string out = line.data();
  return out.substr(0, out.find('\n'));
}

TEST_F(MungeRendezvous, another_user_is_turned_away_whatever_it_says_that_it_is) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be two users";
  const auto opened = munge_->unseal(sealed_by_nobody(JoinQuestion(scope()).bytes()));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().what.find("user 65534"), std::string::npos) << opened.error().what;
  expect_turned_away(sealed_by_nobody(JoinQuestion(scope()).bytes()));
}

}  // namespace
}  // namespace mobula::slurm

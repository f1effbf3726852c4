#include "slurm/munge_exchange.h"

#include <set>

#include <gtest/gtest.h>

#include "slurm/munge.h"
#include "slurm/munge_rendezvous.h"

namespace mobula::slurm {
namespace {

JoinScope ours() { return {.uid = 1000, .start = "16.0"}; }
constexpr std::string_view kInvitation = "the invitation, with the secret";

base::Code code_of(const base::Result<std::string>& result) { return result ? base::Code{} : result.error().code; }

TEST(MungeExchange, an_answer_is_good_for_its_own_question_only) {
  const JoinQuestion question(ours());
  const auto answer = answer_join(question.bytes(), ours(), kInvitation);
  ASSERT_TRUE(answer);
  EXPECT_EQ(*question.open(*answer), kInvitation);
  EXPECT_EQ(code_of(JoinQuestion(ours()).open(*answer)), base::Code::kDenied);  // An old answer, said again.
  EXPECT_FALSE(question.open(question.bytes()));                                // Our own question, thrown back.
  EXPECT_FALSE(question.open(""));
}

TEST(MungeExchange, another_users_or_starts_question_is_denied_and_named) {
  for (const JoinScope& theirs : {JoinScope{.uid = 1001, .start = "16.0"}, JoinScope{.uid = 1000, .start = "17.0"},
                                  JoinScope{.uid = 1000, .start = "16.1"}}) {
    const JoinQuestion question(theirs);
    const auto denied = answer_join(question.bytes(), ours(), kInvitation);
    EXPECT_EQ(code_of(denied), base::Code::kDenied);
    const std::string& differs = theirs.uid == ours().uid ? theirs.start : std::to_string(theirs.uid);
    EXPECT_NE(denied.error().what.find(differs), std::string::npos) << denied.error().what;
    // And an answer that names them is not taken by us.
    const auto answer = answer_join(question.bytes(), theirs, kInvitation);
    EXPECT_EQ(code_of(JoinQuestion(ours()).open(*answer)), base::Code::kDenied);
  }
}

// What lies in the credentials when somebody opens them: root, or who has the site's key.
TEST(MungeExchange, nobody_else_can_read_the_invitation_out_of_both_credentials) {
  const JoinQuestion question(ours());
  const auto answer = answer_join(question.bytes(), ours(), kInvitation);
  EXPECT_EQ(answer->find("secret"), std::string::npos);
  // The same question asked again gets another key: nothing can be learnt by asking twice.
  const auto again = answer_join(question.bytes(), ours(), kInvitation);
  EXPECT_NE(answer->substr(answer->size() - kInvitation.size()), again->substr(again->size() - kInvitation.size()));
}

TEST(MungeExchange, no_bit_of_either_side_can_be_changed) {
  const JoinQuestion question(ours());
  const auto answer = answer_join(question.bytes(), ours(), kInvitation);
  for (std::size_t i = 0; i < answer->size(); ++i) {
    std::string changed = *answer;
    changed[i] = static_cast<char>(changed[i] ^ 4);
    EXPECT_FALSE(question.open(changed)) << "byte " << i << " of the answer";
  }
  for (std::size_t i = 0; i < question.bytes().size(); ++i) {
    std::string changed = question.bytes();
    changed[i] = static_cast<char>(changed[i] ^ 4);
    const auto misled = answer_join(changed, ours(), kInvitation);
    EXPECT_FALSE(misled && question.open(*misled)) << "byte " << i << " of the question";
  }
  EXPECT_FALSE(answer_join(question.bytes() + "x", ours(), kInvitation));
  EXPECT_FALSE(answer_join("", ours(), kInvitation));
}

TEST(MungeExchange, each_start_has_sixteen_ports_below_those_of_the_kernel) {
  const auto ports = rendezvous_ports("16.0");
  EXPECT_EQ(std::set<std::uint16_t>(ports.begin(), ports.end()).size(), 16u);
  EXPECT_EQ(ports, rendezvous_ports("16.0"));
  EXPECT_NE(ports, rendezvous_ports("16.1"));
  for (int job = 0; job < 1000; ++job) {
    const auto some = rendezvous_ports(std::to_string(job) + ".0");
    EXPECT_GE(some.front(), 20'000);
    EXPECT_LT(some.back(), 32'768);
  }
}

TEST(MungeSocket, slurms_configuration_says_where_munged_listens) {
  EXPECT_EQ(munge_socket_of("ClusterName=c\nAuthInfo=socket=/run/x.sock\n"), "/run/x.sock");
  EXPECT_EQ(munge_socket_of("authinfo=ttl=3,socket=/run/x.sock,cred_expire=2"), "/run/x.sock");
  EXPECT_EQ(munge_socket_of("AuthInfo=ttl=3"), "");
  EXPECT_EQ(munge_socket_of("# AuthInfo=socket=/no\n"), "");
  EXPECT_EQ(munge_socket_of(""), "");
}

}  // namespace
}  // namespace mobula::slurm

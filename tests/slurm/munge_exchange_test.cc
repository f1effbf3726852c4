#include "slurm/munge_exchange.h"

#include <set>

#include <gtest/gtest.h>

#include "core/os/random.h"
#include "slurm/munge.h"
#include "slurm/munge_rendezvous.h"

namespace mobula::slurm {
namespace {

JoinNonce fresh() {
  JoinNonce nonce;
  os::fill_random(nonce.data(), nonce.size());
  return nonce;
}

TEST(MungeExchange, an_answer_is_good_for_its_own_question_only) {
  const JoinNonce asked = fresh();
  const auto question = decode_join(encode_join("16.0", asked), "16.0");
  ASSERT_TRUE(question);
  EXPECT_EQ(*question, asked);
  const std::string answer = encode_welcome("16.0", *question, "the invitation");
  EXPECT_EQ(*decode_welcome(answer, "16.0", asked), "the invitation");
  EXPECT_FALSE(decode_welcome(answer, "16.0", fresh()));  // An old answer, said again.
  EXPECT_FALSE(decode_welcome(answer, "16.1", asked));
  EXPECT_FALSE(decode_welcome(encode_join("16.0", asked), "16.0", asked));  // Our own question, thrown back.
}

TEST(MungeExchange, a_question_of_another_start_is_denied) {
  const auto denied = decode_join(encode_join("17.0", fresh()), "16.0");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, base::Code::kDenied);
  EXPECT_FALSE(decode_join("", "16.0"));
  EXPECT_FALSE(decode_join(encode_join("16.0", fresh()) + "x", "16.0"));
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

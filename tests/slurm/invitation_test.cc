#include "slurm/invitation.h"

#include <gtest/gtest.h>

#include "core/os/random.h"

namespace mobula::slurm {
namespace {

Invitation invitation() {
  return {.uid = 1000,
          .start = "16.0",
          .build_id = "b1d",
          .cluster = "s-16.0-abc",
          .host_key = "boot.1.2",
          .gcs_unix = "unix:/tmp/x/gcs.sock",
          .gcs_tcp = "tcp:10.0.0.1:1234",
          .job = os::random_id<base::JobId>(),
          .secret = os::Secret::generate()};
}

TEST(Invitation, what_is_published_is_what_is_read) {
  const Invitation original = invitation();
  const auto copy = decode_invitation_text(encode_text(original));
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->uid, original.uid);
  EXPECT_EQ(copy->start, original.start);
  EXPECT_EQ(copy->build_id, original.build_id);
  EXPECT_EQ(copy->cluster, original.cluster);
  EXPECT_EQ(copy->host_key, original.host_key);
  EXPECT_EQ(copy->gcs_unix, original.gcs_unix);
  EXPECT_EQ(copy->gcs_tcp, original.gcs_tcp);
  EXPECT_EQ(copy->job, original.job);
  EXPECT_TRUE(copy->secret.equals(original.secret.view()));
}

TEST(Invitation, bytes_that_were_cut_lengthened_or_changed_in_form_are_refused) {
  const std::string bytes = encode(invitation());
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_invitation(bytes.substr(0, size)));
  EXPECT_FALSE(decode_invitation(bytes + "x"));
  std::string other = bytes;
  other[0] ^= 1;
  EXPECT_FALSE(decode_invitation(other));
  EXPECT_FALSE(decode_invitation_text("0"));
  EXPECT_FALSE(decode_invitation_text("zz"));
  EXPECT_FALSE(decode_invitation_text(""));
}

TEST(Invitation, a_user_beyond_32_bits_is_not_taken_for_another) {
  std::string bytes = encode(invitation());
  bytes[8] = 1;  // The fifth byte of the user's number.
  EXPECT_FALSE(decode_invitation(bytes));
}

TEST(Invitation, another_user_start_or_build_is_denied_with_both_values) {
  const Invitation to = invitation();
  EXPECT_TRUE(check(to, 1000, "16.0", "b1d"));
  for (const auto& denied :
       {check(to, 1001, "16.0", "b1d"), check(to, 1000, "17.0", "b1d"), check(to, 1000, "16.0", "b1e")}) {
    ASSERT_FALSE(denied);
    EXPECT_EQ(denied.error().code, base::Code::kDenied);
  }
  EXPECT_NE(check(to, 1000, "17.0", "b1d").error().what.find("17.0"), std::string::npos);
}

}  // namespace
}  // namespace mobula::slurm

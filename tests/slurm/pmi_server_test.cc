#include "slurm/pmi_server.h"

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

std::string only(const std::vector<PmiServer::Line>& lines) {
  EXPECT_EQ(lines.size(), 1u);
  return lines.empty() ? "" : lines[0].text;
}

TEST(PmiServer, what_one_task_puts_another_gets) {
  PmiServer server(2, "here");
  EXPECT_EQ(only(server.take(0, "cmd=get_my_kvsname")), "cmd=my_kvsname kvsname=here rc=0");
  EXPECT_EQ(only(server.take(0, "cmd=put kvsname=here key=a value=b=c")), "cmd=put_result rc=0 msg=success");
  EXPECT_EQ(only(server.take(1, "cmd=get kvsname=here key=a")), "cmd=get_result rc=0 msg=success value=b=c");
  EXPECT_EQ(only(server.take(1, "cmd=get kvsname=here key=none")), "cmd=get_result rc=-1 msg=unknown_key");
}

TEST(PmiServer, the_barrier_opens_for_all_with_the_last_and_closes_again) {
  PmiServer server(3, "here");
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(server.take(2, "cmd=barrier_in").empty());
    EXPECT_TRUE(server.take(0, "cmd=barrier_in").empty());
    const auto open = server.take(1, "cmd=barrier_in");
    ASSERT_EQ(open.size(), 3u);
    for (const auto& line : open) EXPECT_EQ(line.text, "cmd=barrier_out rc=0");
  }
}

TEST(PmiServer, a_published_name_is_seen_by_all_before_the_barrier) {
  PmiServer server(2, "here");
  EXPECT_EQ(only(server.take(0, "cmd=lookup_name service=a")), "cmd=lookup_result rc=0 info=fail");
  EXPECT_EQ(only(server.take(1, "cmd=publish_name service=a port=b")), "cmd=publish_result rc=0 info=ok");
  EXPECT_EQ(only(server.take(0, "cmd=lookup_name service=a")), "cmd=lookup_result rc=0 info=ok port=b");
  EXPECT_EQ(only(server.take(1, "cmd=publish_name service=c port=" + std::string(2000, 'x'))),
            "cmd=publish_result rc=0 info=fail");
}

TEST(PmiServer, values_have_a_limit_and_nonsense_an_answer) {
  PmiServer server(1, "here");
  EXPECT_EQ(only(server.take(0, "cmd=put kvsname=here key=a value=" + std::string(2000, 'x'))),
            "cmd=put_result rc=-1 msg=too_much");
  EXPECT_EQ(only(server.take(0, "cmd=put kvsname=here key=" + std::string(64, 'k') + " value=a")),
            "cmd=put_result rc=-1 msg=too_much");
  for (const char* line : {"", "cmd", "cmd=", "cmd=dance", "put key=a"}) {
    EXPECT_EQ(only(server.take(0, line)), "cmd=unknown rc=-1");
  }
}

}  // namespace
}  // namespace mobula::slurm

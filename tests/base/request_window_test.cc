#include "core/base/request_window.h"

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

using Fate = RequestReceiver::Fate;

TEST(RequestWindow, ARepeatedRequestIsSeenAndAnAnsweredOneIsStale) {
  RequestSender sender(4);
  RequestReceiver receiver(4);
  const auto first = sender.issue();
  EXPECT_EQ(receiver.receive(first, sender.floor()), Fate::kNew);
  EXPECT_EQ(receiver.receive(first, sender.floor()), Fate::kSeen);
  sender.answered(first);
  const auto second = sender.issue();
  EXPECT_EQ(receiver.receive(second, sender.floor()), Fate::kNew);
  EXPECT_EQ(receiver.receive(first, first), Fate::kStale);
}

TEST(RequestWindow, TheSenderWaitsForTheOldestAnswer) {
  RequestSender sender(2);
  const auto first = sender.issue();
  sender.answered(sender.issue());
  EXPECT_FALSE(sender.has_room());
  sender.answered(first);
  EXPECT_TRUE(sender.has_room());
  EXPECT_EQ(sender.floor(), 3u);
}

TEST(RequestWindow, TheReceiverRemembersNoMoreThanTheWindow) {
  RequestSender sender(8);
  RequestReceiver receiver(8);
  for (int i = 0; i < 1000; ++i) {
    const auto seq = sender.issue();
    EXPECT_EQ(receiver.receive(seq, sender.floor()), Fate::kNew);
    if (i % 7 != 0) sender.answered(seq);
    if (!sender.has_room()) {
      while (sender.floor() <= seq) sender.answered(sender.floor());
    }
    EXPECT_LE(receiver.remembered(), 8u);
  }
  EXPECT_EQ(receiver.receive(5'000, 1), Fate::kBeyond);
}

}  // namespace
}  // namespace mobula::base

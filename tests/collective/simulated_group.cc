#include "tests/collective/simulated_group.h"

#include <gtest/gtest.h>

namespace mobula::collective::test {

SimulatedGroup::SimulatedGroup(int size, std::uint64_t seed)
    : random_(seed), alive_(static_cast<std::size_t>(size), true), refused_(static_cast<std::size_t>(size), false) {
  for (int r = 0; r < size; ++r) {
    members_.push_back(std::make_unique<Group>(GroupKey{7, 1}, Place{r, size}));
    wires_.emplace_back(*this, r);
  }
}

bool SimulatedGroup::SimWire::send(int to, const MessageHeader& header, ConstBytes payload) {
  if (group_.random(8) == 0) {
    group_.refused_[static_cast<std::size_t>(rank_)] = true;
    return false;
  }
  if (group_.alive(to)) {
    group_.channels_[{rank_, to}].push_back({header, {payload.begin(), payload.end()}});
    group_.under_way_ += payload.size();
    group_.under_way_max_ = std::max(group_.under_way_max_, group_.under_way_);
  }
  return true;
}

bool SimulatedGroup::step() {
  std::vector<std::pair<int, int>> open;
  for (const auto& [pair, channel] : channels_) {
    if (!channel.empty()) open.push_back(pair);
  }
  std::vector<int> waiting;
  for (int r = 0; r < size(); ++r) {
    if (alive(r) && refused_[static_cast<std::size_t>(r)]) waiting.push_back(r);
  }
  const std::size_t choices = open.size() + waiting.size() + news_.size();
  if (choices == 0) return false;
  std::size_t pick = random(choices);
  if (pick < open.size()) {
    auto& channel = channels_[open[pick]];
    const Message message = std::move(channel.front());
    channel.pop_front();
    under_way_ -= message.payload.size();
    const int to = open[pick].second;
    if (alive(to)) {
      EXPECT_TRUE(member(to).receive(message.header, message.payload, wire(to)));
    }
    return true;
  }
  pick -= open.size();
  if (pick < waiting.size()) {
    refused_[static_cast<std::size_t>(waiting[pick])] = false;
    member(waiting[pick]).pump(wire(waiting[pick]));
    return true;
  }
  pick -= waiting.size();
  const auto [hears, dead] = news_[pick];
  news_.erase(news_.begin() + static_cast<std::ptrdiff_t>(pick));
  if (alive(hears)) member(hears).lose(dead, "killed", wire(hears));
  return true;
}

void SimulatedGroup::kill(int rank, std::vector<int> heard_by) {
  alive_[static_cast<std::size_t>(rank)] = false;
  for (auto& [pair, channel] : channels_) {
    if (pair.second == rank) {
      for (const Message& m : channel) under_way_ -= m.payload.size();
      channel.clear();
    }
    // Of what it had sent, a part has left it.
    if (pair.first == rank && !channel.empty()) {
      for (std::size_t keep = random(channel.size() + 1); channel.size() > keep; channel.pop_back()) {
        under_way_ -= channel.back().payload.size();
      }
    }
  }
  if (heard_by.empty()) {
    for (int r = 0; r < size(); ++r) heard_by.push_back(r);
  }
  for (const int r : heard_by) {
    if (r != rank) news_.emplace_back(r, rank);
  }
}

}  // namespace mobula::collective::test

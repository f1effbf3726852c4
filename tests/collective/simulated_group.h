#pragma once

#include <deque>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "collective/group.h"

namespace mobula::collective::test {

// The members of a group in one process, joined by a network that delivers in any order between pairs, in order within
// a pair, refuses now and then for lack of room, and loses whoever is killed.  All by the seed.
class SimulatedGroup {
 public:
  SimulatedGroup(int size, std::uint64_t seed);

  int size() const { return static_cast<int>(members_.size()); }
  Group& member(int rank) { return *members_[static_cast<std::size_t>(rank)]; }
  Wire& wire(int rank) { return wires_[static_cast<std::size_t>(rank)]; }
  bool alive(int rank) const { return alive_[static_cast<std::size_t>(rank)]; }
  std::uint64_t random(std::uint64_t below) { return random_() % below; }

  // Delivers one message, news of one death, or asks a member to go on; false: nothing is under way.
  bool step();
  // The process ends: what it has sent may still arrive, what is sent to it vanishes; each survivor hears of it in its
  // own time, `heard_by` only (all when empty).
  void kill(int rank, std::vector<int> heard_by = {});
  std::size_t bytes_under_way_max() const { return under_way_max_; }

 private:
  struct Message {
    MessageHeader header;
    std::vector<std::byte> payload;
  };
  class SimWire final : public Wire {
   public:
    SimWire(SimulatedGroup& group, int rank) : group_(group), rank_(rank) {}
    bool send(int to, const MessageHeader& header, ConstBytes payload) override;

   private:
    SimulatedGroup& group_;
    int rank_;
  };

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Group>> members_;
  std::vector<SimWire> wires_;
  std::vector<bool> alive_;
  std::vector<bool> refused_;
  std::map<std::pair<int, int>, std::deque<Message>> channels_;
  std::vector<std::pair<int, int>> news_;  // (who hears, who is dead)
  std::size_t under_way_ = 0;
  std::size_t under_way_max_ = 0;
};

}  // namespace mobula::collective::test

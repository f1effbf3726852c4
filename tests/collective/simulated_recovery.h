#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "collective/group.h"
#include "collective/succession.h"

namespace mobula::collective::test {

// Processes that are members of a group which is to survive deaths: each passes barriers, recovers when its group has
// failed, and passes barriers again.  Joined by a network as in SimulatedGroup, news of deaths and of restarts that
// come late and in any order, and a store that takes an entry only where there is none.  All by the seed.
class SimulatedRecovery {
 public:
  struct Options {
    int size = 4;
    Recovery how = Recovery::kShrink;
    int restarts_max = 0;  // Of each rank; then its deaths are for good.
    std::uint64_t seed = 1;
  };
  static constexpr int kBarriers = 3;  // In each epoch.

  explicit SimulatedRecovery(const Options& options);
  ~SimulatedRecovery();

  // One event; false: nothing is under way.
  bool step();
  // The process that is this rank of the first epoch now ends, and is started again where the options say so.
  void kill(int original);
  // Somebody takes a process that lives for dead.
  void accuse(int original);
  bool has_process(int original) const;
  std::uint64_t random(std::uint64_t below) { return random_() % below; }

  // What is wrong now that nothing is under way; empty: nothing.
  std::string verdict() const;
  std::string disagreement() const { return disagreement_; }
  int recoveries() const { return recoveries_; }

 private:
  class Process;
  struct Message {
    MessageHeader header;
    std::vector<std::byte> payload;
  };
  struct Request {
    Process* from;
    Slot slot;
    std::optional<Entry> entry;  // To be written.
  };
  struct Reply {
    Process* to;
    std::optional<Entry> entry;
  };
  struct News {
    Process* hears;
    Process* about;
    bool died;
  };

  void note(std::uint32_t from, const Succession::Next& next, const std::vector<int>& members);
  Process* current(int original) const;
  void start(int original, std::uint64_t incarnation);

  const Options options_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::map<std::pair<std::size_t, std::size_t>, std::deque<Message>> channels_;  // By number: from, to.
  std::vector<News> news_;
  std::vector<Request> requests_;
  std::vector<Reply> replies_;
  std::map<Slot, Entry> store_;
  std::map<std::uint32_t, std::pair<std::uint32_t, std::vector<int>>> next_of_;  // What each epoch led to.
  std::set<int> accused_;
  std::string disagreement_;
  int recoveries_ = 0;
};

}  // namespace mobula::collective::test

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/sim/own_process.h"

namespace mobula::sim {

// Every order of everything in a small world: three processes and two objects, whatever user code does within its
// budget, each message delivered in any order, one of them twice, one process killed at any moment with any part of
// what it had sent, its death heard by the others in any order.  States that were seen are not gone through again.
//
// The one assumption is what the grace after a death stands for: it ends when all who live have heard of it and what
// they said has arrived.
class OwnExplorer {
 public:
  struct Budget {  // Of the whole run.
    int calls = 2;
    int puts = 1;  // Besides the first object, which the first process has made.
    int gets = 0;
    int deaths = 1;
    int copies = 1;
    std::uint64_t states = 1'000'000;  // Then it gives up.
  };
  explicit OwnExplorer(Budget budget) : budget_(budget) {}

  // The way to what is wrong, a line for each thing that happens; empty: nothing is.
  std::vector<std::string> run();
  std::uint64_t states() const { return seen_.size(); }
  std::uint64_t quiet_states() const { return quiet_; }
  bool gave_up() const { return seen_.size() >= budget_.states; }

 private:
  struct Small {
    std::vector<std::optional<OwnProcess>> processes;
    struct Flight {
      Envelope envelope;
      bool was_read = false;  // It is a copy.
    };
    std::vector<Flight> in_flight;
    std::set<std::pair<std::size_t, std::size_t>> to_hear;  // Who, of whose death.
    Budget left;
    base::Time now{std::chrono::seconds(1)};
  };
  using Act = std::function<void(Small&)>;

  // Goes on from `world`; true: something is wrong, and path_ says how.
  bool explore(const Small& world);
  bool try_it(const Small& world, const std::string& what, const Act& act);
  bool try_messages(const Small& world);
  bool try_faults(const Small& world);
  bool try_user(const Small& world, std::size_t p);
  bool try_scope(const Small& world, std::size_t p, const OwnProcess::Scope& scope);
  // Empty, or what is wrong.
  std::string collect(Small& world);
  std::string judge(const Small& world, const RefName& freed) const;
  std::string judge_quiet(const Small& world);
  static bool is_quiet(const Small& world) { return world.in_flight.empty() && world.to_hear.empty(); }
  std::uint64_t digest(const Small& world) const;

  const Budget budget_;
  std::unordered_set<std::uint64_t> seen_;
  std::uint64_t quiet_ = 0;
  std::vector<std::string> path_;
};

}  // namespace mobula::sim

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/event_queue.h"
#include "tests/sim/own_process.h"

namespace mobula::sim {

// Up to 16 processes with real ownership machines, user code that puts, passes on, keeps, returns and drops
// references, and a network and processes that fail: statements lost, repeated and reordered, processes stopped and
// killed, between any two steps of a machine and between the messages of one step.
//
// Judged from outside, by what user code can name:
//   - no object is freed while a process that lives can name it, or a message on its way does;
//   - an object that nobody can name is freed within kBound;
//   - no call and no get waits without end, and in the end no table holds anything.
//
// One death at a time breaks none of these.  A storm of several deaths within the grace may cost an object early; then
// who names it must hear so (the same that a death of its owner is).
class OwnWorld {
 public:
  struct Options {
    std::uint64_t seed = 1;
    bool trace = false;
    bool ask_machines = true;  // Whether they are valid; the museum does without.
  };
  explicit OwnWorld(Options options);
  void run();

  const std::vector<std::string>& violations() const { return violations_; }
  std::uint64_t digest() const { return digest_; }  // Of each message that was sent, in order.
  std::uint64_t events() const { return queue_.ran(); }
  std::uint64_t lost() const { return lost_; }
  std::uint64_t objects() const { return born_.size(); }
  std::uint64_t deaths() const { return deaths_.size(); }

 private:
  using Time = base::Time;
  using Duration = base::Duration;
  static constexpr Duration kBound = std::chrono::seconds(15);
  static constexpr std::size_t kViolationsMax = 10;

  struct Seat {
    std::optional<OwnProcess> process;  // None: dead.
    Time stopped_until{};
    std::uint64_t timer = 0;  // Tells an armed timer from the next.
  };

  void add_process();
  Seat* seat(const base::WorkerId& id);
  void act(const base::WorkerId& id);
  void act_once(OwnProcess& p, Time now);
  void drop_one(OwnProcess& p, Time now, std::uint64_t scope, const RefName& ref);
  bool answer_one(OwnProcess& p, Time now);
  std::vector<RefName> some_of(const std::vector<RefName>& refs, std::uint64_t most);
  std::vector<base::WorkerId> living() const;
  // After anything that a process has done: sends, judges, sets its timer; and may kill it in the middle.
  void after(Seat& s);
  void arm(Seat& s);
  void send(const Envelope& e);
  void fly(std::uint64_t letter, const Envelope& e, Duration delay);
  void deliver(std::uint64_t letter, const Envelope& e);
  void stop_some();
  void kill(const base::WorkerId& id);
  void drop_all();

  void judge_freed(const RefName& ref);
  bool is_excused() const;
  void check_quiet(const char* when);
  void check_freed(const char* when);
  void check_empty();
  void name_all(const RefName& ref, std::set<base::ObjectId>& named) const;
  void violation(const std::string& what);
  void trace(const std::string& text) const;

  const Options options_;
  Rng rng_;
  EventQueue queue_;
  objstore::OwnershipLimits limits_;
  std::map<base::WorkerId, Seat> seats_;
  std::uint64_t next_process_ = 1, next_letter_ = 1, steps_ = 0, lost_ = 0, digest_ = 0;
  bool active_ = true;
  Time answer_at_{};  // When user code ends its calls, once it does nothing else.
  double loss_ = 0, repeat_ = 0;
  std::uint64_t delay_us_max_ = 0, think_us_max_ = 0, hear_ms_max_ = 0, deaths_max_ = 0;
  std::set<std::uint64_t> kill_at_step_;
  std::vector<Time> deaths_;
  std::map<base::ObjectId, base::WorkerId> born_;
  std::map<std::uint64_t, Envelope> in_flight_;  // Calls and replies.
  std::vector<std::string> violations_;
};

}  // namespace mobula::sim

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "objstore/logic/lineage.h"
#include "tests/sim/event_queue.h"

namespace mobula::sim {

// One process that submits tasks, puts, reads and drops, around a real LineageMachine; the nodes on which the tasks run
// and leave their values, with several results and arguments made by earlier tasks; nodes that die, at any moment,
// while tasks and re-runs are under way there, and copies that vanish.  What the process does around the machine is
// what core/worker/lineage.cc does.
//
// Judged from outside, by what was submitted and what has run:
//   - no read and no call waits without end;
//   - an object becomes an error only if it cannot be made: something that it is made from was put and is gone, or was
//   run
//     as often as it may, or had to go for room;
//   - no task runs more often than it may, nor twice at a time;
//   - what is kept is within the limit, nothing is let go of for room that there was, and in the end nothing is kept.
class LineageWorld {
 public:
  struct Options {
    std::uint64_t seed = 1;
    bool trace = false;
    bool ask_machines = true;  // Whether they are valid; the museum does without.
  };
  explicit LineageWorld(Options options);
  void run();

  const std::vector<std::string>& violations() const { return violations_; }
  std::uint64_t digest() const { return digest_; }  // Of all that the machine was told and said.
  std::uint64_t events() const { return queue_.ran(); }
  std::uint64_t deaths() const { return deaths_; }
  std::uint64_t reruns() const { return reruns_; }
  std::uint64_t errors() const { return errors_; }

 private:
  using Time = base::Time;
  using ObjectId = base::ObjectId;
  using TaskId = base::TaskId;
  using Node = std::uint64_t;
  static constexpr std::size_t kViolationsMax = 10;

  enum class Status : std::uint8_t { kPending, kSomewhere, kError };
  struct Object {
    int references = 0;
    Status status = Status::kPending;
    std::set<Node> copies;
    int reads = 0;  // Of user code, that wait.
  };
  // What a task is, for ever; how often it was sent to a node.
  struct Truth {
    std::vector<ObjectId> arguments;
    std::uint32_t returns = 1;
    std::uint32_t retries_max = 0;
    std::uint32_t sent = 0;
    std::uint64_t bytes = 0;
    bool roomless = false;
  };
  struct Call {
    TaskId task;
    bool again = false;
    std::uint32_t retries = 0;
    Node node = 0;  // 0: not sent.
  };

  // ---- user code
  void act();
  void submit();
  void put();
  void read(const ObjectId& id);
  void drop_one();
  void kill_one();
  void lose_copy();

  // ---- what the process does
  void hold(const ObjectId& id) { ++objects_[id].references; }
  void release(const ObjectId& id);
  void flush_drops();
  void step(objstore::LineageInput input);
  void carry_out(const objstore::LineageOutput& output);
  void start(const TaskId& task, bool again, std::uint32_t retries);
  void look_at(std::uint64_t call);
  void send(std::uint64_t call);
  void begin(std::uint64_t call, Node node);
  void reply(std::uint64_t call, Node node);
  void lose_call(std::uint64_t call);
  void fail(const ObjectId& id);
  void fail_call(std::uint64_t call);
  void lost(const ObjectId& id);
  void changed(const ObjectId& id);
  void erase_node(Node node);

  // ---- the oracle
  bool can_be_made(const ObjectId& id, std::set<TaskId>& asked) const;
  bool is_wanted(const ObjectId& id) const;
  bool is_under_way(const TaskId& task) const;
  void check_quiet(const char* when);
  void violation(const std::string& what);
  void note(std::uint64_t word) { digest_ = base::mix64(digest_ ^ word); }
  void trace(const std::string& text) const;

  const Options options_;
  Rng rng_;
  EventQueue queue_;
  objstore::LineageLimits limits_;
  objstore::LineageMachine machine_;
  std::vector<ObjectId> variables_;
  std::map<ObjectId, Object> objects_;
  std::map<TaskId, Truth> truths_;
  std::map<TaskId, std::uint64_t> kept_;  // Bytes, as the process was told.
  std::map<std::uint64_t, Call> calls_;
  std::set<Node> nodes_;
  std::vector<ObjectId> dropped_;
  Node next_node_ = 1;
  std::uint64_t next_task_ = 1, next_call_ = 1, digest_ = 0, deaths_ = 0, reruns_ = 0, errors_ = 0;
  std::uint64_t think_us_max_ = 0, run_us_max_ = 0, delay_us_max_ = 0;
  double death_ = 0, vanish_ = 0;
  std::uint64_t chain_ = 0;
  bool active_ = true, dropping_ = false;
  std::vector<std::string> violations_;
};

}  // namespace mobula::sim

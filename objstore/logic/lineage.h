#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "objstore/logic/lineage_messages.h"

namespace mobula::objstore {

// How one process gets back values of its own that are lost: which tasks to run again, in which order, and what cannot
// be had any more (ARCHITECTURE section 7; docs/protocols/lineage.md).
//
// It knows tasks whose values lie in stores, from their first end until nobody can want them: a record lives while one
// of its results has a reference here, while it runs again, and while another record may need what it makes.  Where
// copies are is the process's to know; it comes here when there is none.
//
// Obligations: for each Lost the task runs (again), or Hopeless follows at once; no task runs more often than it may,
// nor twice at a time; what is kept is at most bytes_max.
class LineageMachine {
 public:
  using Input = LineageInput;
  using Output = LineageOutput;

  explicit LineageMachine(LineageLimits limits = {}) : limits_(limits) {}

  void step(base::Time now, Input input, base::Outbox<Output>& out);
  void tick(base::Time, base::Outbox<Output>&) {}
  std::optional<base::Time> next_deadline() const { return std::nullopt; }
  bool is_valid() const;

  struct Counts {
    std::size_t records = 0;
    std::size_t running = 0;
    std::uint64_t bytes = 0;
  };
  Counts counts() const { return {records_.size(), running_, bytes_}; }

 private:
  struct Result {
    base::ObjectId object;
    bool here = true;  // Some reference in this process.
  };
  struct Record {
    std::vector<Result> results;
    std::vector<base::ObjectId> needs;  // Sorted, each once.
    std::uint64_t bytes = 0;
    std::uint64_t age = 0;         // Of by_age_, while it is kept.
    std::uint32_t retries = 0;     // Left.
    std::uint32_t dependents = 0;  // Kept records that name one of its results, each name.
    bool kept = true;              // False: it had to go; only its results are known still.
    bool running = false;
  };
  using Records = std::map<base::TaskId, Record>;

  void on(Keep&& keep, base::Outbox<Output>& out);
  void on(Dropped&& dropped, base::Outbox<Output>& out);
  void on(Lost&& lost, base::Outbox<Output>& out);
  void on(Ended&& ended, base::Outbox<Output>& out);

  // What has to run so that `object` is there, makers first; or why that cannot be.
  std::optional<Hopeless> plan(const base::ObjectId& object, std::vector<base::TaskId>& order) const;
  std::optional<Hopeless::Why> obstacle(const base::TaskId& task) const;
  std::optional<base::ObjectId> next_need(const Record& record, std::size_t& need) const;
  void run_again(const base::TaskId& task, base::Outbox<Output>& out);
  void make_room(base::Outbox<Output>& out);
  void release_needs(Record& record, base::Outbox<Output>& out);
  void forget_if_unneeded(const base::TaskId& task, base::Outbox<Output>& out);
  static bool is_here(const Record& record, const base::ObjectId& object);
  static bool has_result_here(const Record& record);

  LineageLimits limits_;
  Records records_;
  std::map<std::uint64_t, base::TaskId> by_age_;  // Those kept.
  std::uint64_t next_age_ = 1;
  std::uint64_t bytes_ = 0;
  std::size_t running_ = 0;
};

}  // namespace mobula::objstore

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/base/error_info.h"
#include "core/worker/address.h"
#include "core/worker/links.h"
#include "core/worker/references.h"
#include "core/worker/task_table.h"

namespace mobula::runtime {

// Told of what becomes of calls by Calls: what keeps them to be run again (lineage.h).
class CallHistory {
 public:
  // It has ended well, for the first time, and left a value in a store; its results are looked at after this.  Its
  // arguments may be taken.
  virtual void keep(Task& task) = 0;
  // A re-run has ended, well or not; likewise.
  virtual void ended_again(Task& task) = 0;
  // What the failure of a re-run is for whoever reads its value.
  virtual ErrorInfo loss(const Task& task, ErrorInfo why) = 0;

 protected:
  ~CallHistory() = default;
};

// What calls of tasks and of actors share: building the message, taking the reply apart, ending with an error.
//
// Under the engine's lock.
class Calls {
 public:
  Calls(TaskTable& tasks, Links& links, References& references, ProcessMetrics& metrics)
      : tasks_(tasks), links_(links), references_(references), metrics_(metrics) {}

  // A call with its results, which `out` refers to.  Owners are asked for arguments that were borrowed without their
  // values.
  Task& make(const FunctionEntry& function, const base::TaskId& id, Arguments&& arguments, std::span<ObjectRef> out);
  // The same of a call whose value is lost: its results are those that are referred to here still, and new ones.
  Task& make_again(const FunctionEntry& function, const base::TaskId& id, Arguments&& arguments, std::uint16_t returns);
  void set_history(CallHistory& history) { history_ = &history; }
  // The arguments as a message carries them: their bytes, then what is known of each dependency.  Without dependencies
  // that is arguments.bytes_ itself; else `scratch` holds it.
  ConstBytes payload_of(Task& task, base::Buffer& scratch);
  // Sends the call to `worker`, which the task is then in flight on.
  void send(Task& task, Peer& worker, std::uint64_t incarnation);
  void send_cancel(Task& task, bool force, bool recursive);

  // Gives every result its value and ends the task.  False when the reply is malformed (the results then hold an
  // error).
  bool succeed(Task& task, Peer& from, const ReplyHeader& header, ConstBytes payload);
  // Gives every result the error and ends the task.
  void fail(Task& task, ErrorInfo error);
  TaskTable& tasks() { return tasks_; }
  // What the arguments of calls in flight on `worker` refer to.
  std::vector<ObjectRef> references_at(const Peer& worker);
  // The call is given up although its worker may not be known to be dead yet: what its arguments refer to is held until
  // some time after that.
  void hold_after_loss(Task& task);

  std::string name_of(const Task& task) const { return function_name(*task.function); }

 private:
  void look_for_arguments(Task& task);
  bool read_results(Task& task, Peer& from, const ReplyHeader& header, ConstBytes payload);
  void adopt_returned_references(Task& task, Peer& from, const ReplyHeader& header, base::Cursor& in);

  TaskTable& tasks_;
  Links& links_;
  References& references_;
  ProcessMetrics& metrics_;
  CallHistory* history_ = nullptr;
  base::Buffer scratch_;
};

}  // namespace mobula::runtime

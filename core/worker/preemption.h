#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/base/settings.h"
#include "core/os/signal_pipe.h"

namespace mobula::runtime {

class Process;

// What the program wants done before its job ends.  Any thread.
class PreemptCallbacks final {
 public:
  void add(std::function<void()> callback);
  std::vector<std::function<void()>> all() const;
  void begin() { begun_.store(true, std::memory_order_release); }
  bool begun() const { return begun_.load(std::memory_order_acquire); }

 private:
  mutable std::mutex mutex_;
  std::vector<std::function<void()>> callbacks_;
  std::atomic<bool> begun_{false};
};

struct PreemptOptions {
  std::vector<int> signals;          // That mean: the job is about to end.
  base::Duration warning{0};         // The same, so long before the end of its time; 0: not.
  base::Duration grace{};            // For everything but the end of the cluster's processes.
  bool requeue = false;              // Ask Slurm to run the job again.
  base::Duration interrupt_grace{};  // For what is under way when Ctrl-C comes.
  bool leads = true;                 // False: another process of the job brings the end about, also that of Ctrl-C.
  std::string session;               // As end_at_next_interrupt() says.
  std::string job_id;                // Of Slurm; empty outside.
};
base::Result<PreemptOptions> preempt_options(const base::Settings& settings,
                                             const std::vector<std::string>& environment);

// The driver's orderly end when its job is about to end: callbacks run, tasks under way get done, actors save their
// state, the job is requeued where that is wished, the cluster ends, and this process ends by the signal, so that
// whoever started it sees that it did not finish.  All within `grace` and the time that the cluster's processes take to
// end (5 s).
//
//   0        grace / 2            3/4 grace            grace
//   | callbacks | tasks under way end | actors save      | the cluster ends
//
// Ctrl-C is the short form: what is under way ends within `interrupt_grace`, nothing is begun, then the cluster ends. A
// second one ends this process at once.
//
// Signals that the program has handlers for when it calls init() are left to it.  One at a time in a process.
class Preemption final {
 public:
  Preemption(PreemptOptions options, Process& process, PreemptCallbacks& callbacks, std::function<void()> end_cluster);
  // Once the orderly end has begun this does not return: the process ends in it.
  ~Preemption();
  Preemption(const Preemption&) = delete;
  Preemption& operator=(const Preemption&) = delete;

 private:
  void watch();
  bool preempts(int signal) const;
  [[noreturn]] void preempt(const std::string& why, int signal);
  [[noreturn]] void interrupt();
  [[noreturn]] void end(int signal);
  bool run_callbacks(base::Time until);
  void save_actors(base::Time until);
  void requeue(int signal);

  const PreemptOptions options_;
  Process& process_;
  PreemptCallbacks& callbacks_;
  const std::function<void()> end_cluster_;
  os::SignalPipe signals_;
  std::thread thread_;
};

// For processes of a job that Slurm signals one by one, though the end is their driver's to bring about: SIGTERM and
// its like do not end this process, and do what they always do to programs that it starts.  Nothing outside Slurm.
void outlive_job_signals();

}  // namespace mobula::runtime

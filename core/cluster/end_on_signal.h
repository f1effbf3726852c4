#pragma once

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/cluster/launch.h"
#include "core/os/fd.h"
#include "core/os/signal_pipe.h"

namespace mobula::cluster {

// While a process makes its part of a cluster, or takes it down: a signal that would end it at once first has its
// children end, and removes what nobody else would.  In between that is not needed: children whose owner is gone end by
// themselves and remove the session.  Signals that the program handles are left to it.
class EndOnSignal final {
 public:
  EndOnSignal();
  ~EndOnSignal();  // Does not return when a signal has come.
  EndOnSignal(const EndOnSignal&) = delete;
  EndOnSignal& operator=(const EndOnSignal&) = delete;

  // While it is held a signal waits: for making something and naming it here in one.
  [[nodiscard]] std::unique_lock<std::mutex> hold() { return std::unique_lock(mutex_); }
  // REQUIRES: held.
  void owns(const std::string& path) { paths_.push_back(path); }
  void owns(const std::vector<Launch::Child>& children);  // All that there are, those before too.

 private:
  void watch();
  [[noreturn]] void end(int signal);

  os::SignalPipe signals_;
  std::mutex mutex_;
  std::vector<std::string> paths_;
  std::vector<Launch::Child> children_;
  std::thread thread_;
};

}  // namespace mobula::cluster

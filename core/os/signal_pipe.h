#pragma once

#include <signal.h>

#include <optional>
#include <utility>
#include <vector>

#include "core/os/fd.h"

namespace mobula::os {

// Signals as something to read, whichever thread of the process the kernel hands them to: a mask would have to hold in
// every thread, those of libraries too.  Until it is destroyed they do nothing else.  One at a time in a process.
class SignalPipe final {
 public:
  enum class Take { kAll, kOnlyDefault };  // Whether also those that the program handles or ignores.
  SignalPipe(const std::vector<int>& signals, Take take);
  ~SignalPipe();  // They do again what they did before.
  SignalPipe(const SignalPipe&) = delete;
  SignalPipe& operator=(const SignalPipe&) = delete;

  bool valid() const { return read_.valid(); }  // Not for a second one, or without descriptors.
  int fd() const { return read_.get(); }
  std::optional<int> take();  // The next signal; 0 after wake(); nullopt when there is none.
  void wake();

 private:
  Fd read_;
  std::vector<std::pair<int, struct sigaction>> before_;
};

// Ends this process by the signal's default action.
[[noreturn]] void die_by(int signal);

}  // namespace mobula::os

#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace mobula::testing {

// What tests that start processes hold themselves to: after the end nothing of them is left.
//
// Made before the first process starts, with a temporary directory of its own (MOBULA_TMPDIR of this process until the
// end), which every process of the test inherits and is known by.
class LeakCheck {
 public:
  LeakCheck();
  ~LeakCheck();  // Kills and removes what is left, so that one failure does not spoil the next test.
  LeakCheck(const LeakCheck&) = delete;
  LeakCheck& operator=(const LeakCheck&) = delete;

  const std::string& directory() const { return directory_; }

  // Waits until nothing is left or the time is over; what is left then, a line each: processes with our directory in
  // their environment, files under the directory, names in /dev/shm that were not there, children of ours.
  std::vector<std::string> leftovers(std::chrono::milliseconds patience) const;
  // Processes of the test now, ourselves excepted.
  std::vector<pid_t> processes() const;

 private:
  std::vector<std::string> look() const;

  std::string directory_;
  std::vector<std::string> shm_before_;
};

}  // namespace mobula::testing

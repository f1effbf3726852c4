#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace mobula::testing {

// A driver in a process of its own: this very program, playing a scenario (death_scenarios.h), so that the test can
// kill it or what it started.
class ChildDriver {
 public:
  enum class Output { kRead, kOwn };  // kOwn: `prepare` has seen to it.
  // `prepare` runs in the child before it becomes the driver.
  explicit ChildDriver(const std::string& scenario, std::vector<std::string> environment = {},
                       const std::function<void()>& prepare = nullptr, Output output = Output::kRead);
  ~ChildDriver();  // Kills and reaps.
  ChildDriver(const ChildDriver&) = delete;
  ChildDriver& operator=(const ChildDriver&) = delete;

  pid_t pid() const { return pid_; }
  // Everything that it has written so far, once `text` is in it; false when that does not come in time.
  bool wait_for(const std::string& text, std::chrono::milliseconds patience);
  // Its exit code, or 1000 + signal, or -1 when it does not end in time.
  int wait_exit(std::chrono::milliseconds patience);
  const std::string& output() const { return output_; }

 private:
  bool read_some(
      std::chrono::milliseconds patience);  // False at the end of its output, and when there is none in time.

  pid_t pid_ = -1;
  int out_ = -1;
  std::string output_;
};

// Adds what comes from the descriptor until `text` is in it; false when that does not come in time.
bool read_until(int fd, std::string& read, const std::string& text, std::chrono::milliseconds patience);

// Leaves the calling process so many descriptors.
std::function<void()> limit_descriptors(int most);
// So many bytes of addresses.
std::function<void()> limit_addresses(std::size_t most);

// Of the processes, those whose MOBULA_ROLE is that.
std::vector<pid_t> with_role(const std::vector<pid_t>& pids, const std::string& role);

}  // namespace mobula::testing

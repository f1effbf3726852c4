#pragma once

#include <chrono>
#include <string>

namespace mobula::testing {

inline constexpr auto kSoon = std::chrono::seconds(20);  // Longer than anything here takes; what takes it is a failure.

// Holds tasks until the test lets them go: a directory that all processes of the machine see, gone with the Gate.
class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  const std::string& path() const { return path_; }
  void open() const;
  // How often enter() was called; wait_entered() is false when that was less than `n` in time.
  std::size_t entered() const;
  bool wait_entered(std::size_t n, std::chrono::milliseconds patience = kSoon) const;

 private:
  std::string path_;
};

// In a task: notes that it has come, returns how many had come before.
std::size_t note(const std::string& gate);
// And waits for the gate to open; false when it did not in time.
bool enter(const std::string& gate);

}  // namespace mobula::testing

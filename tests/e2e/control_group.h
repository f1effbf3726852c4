#pragma once

#include <cstddef>
#include <string>

namespace mobula::testing {

// A control group of the test's own with one limit, gone with it once its processes are.
class ControlGroup {
 public:
  enum class Limit { kMemoryBytes, kProcesses };  // Threads count as processes.
  ControlGroup(Limit what, std::size_t most);
  ~ControlGroup();
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  const std::string& path() const { return path_; }        // Empty when it could not be made, and
  const std::string& why_not() const { return why_not_; }  // why.
  void enter() const;                                      // The calling process.
  bool remove();                                           // False while processes are left in it.

 private:
  std::string path_, why_not_;
};

}  // namespace mobula::testing

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mobula::slurm {

// The launcher's end of PMI-1 (pmi_client.h), for starts of our own: a value store, a barrier, and names.  Does no I/O:
// a task's line goes in, lines for tasks come out.
class PmiServer {
 public:
  PmiServer(std::uint32_t tasks, std::string name) : tasks_(tasks), name_(std::move(name)) {}

  struct Line {
    std::uint32_t task;
    std::string text;  // Without the line's end.
  };
  // REQUIRES: task < tasks.
  std::vector<Line> take(std::uint32_t task, std::string_view line);

 private:
  static constexpr std::size_t kValuesMax = 100'000;
  static constexpr std::size_t kKeyBytesMax = 64;
  static constexpr std::size_t kValueBytesMax = 1024;

  const std::uint32_t tasks_;
  const std::string name_;
  std::map<std::string, std::string, std::less<>> values_;
  std::map<std::string, std::string, std::less<>> names_;  // Published ones.
  std::vector<std::uint32_t> at_barrier_;
};

}  // namespace mobula::slurm

#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mobula::bench {

// How a side (bench/sides/serve.h) is started.
struct SideCommand {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  bool fresh = false;   // A new process for each measurement.
  std::string missing;  // Why it cannot be started at all.
};

// A number, or why there is none.
struct Answer {
  std::optional<double> value;
  std::string why;
};

// A side that runs.
class SideProcess {
 public:
  SideProcess(const SideCommand& command, const std::string& log);
  ~SideProcess();  // Ends it, by force if it takes too long.
  SideProcess(const SideProcess&) = delete;
  SideProcess& operator=(const SideProcess&) = delete;

  Answer measure(const std::string& metric, bool quick);
  std::string version();

 private:
  // The rest of the answer's line after "ok "; else `why`.
  std::optional<std::string> ask(const std::string& request, std::chrono::seconds patience, std::string& why);
  std::optional<std::string> read_line(std::chrono::seconds patience, std::string& why);
  std::string last_words() const;

  std::string log_;
  std::string received_;
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
};

}  // namespace mobula::bench

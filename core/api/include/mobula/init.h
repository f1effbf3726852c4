#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/worker/runtime.h"
#include "mobula/options.h"

namespace mobula {

enum class Ranks : std::uint8_t {
  one,  // Under a launcher rank 0 is the driver; the other ranks lend their CPUs and end.
  all,  // init() returns in every rank: they share one job, and the session's end in rank 0 waits for all of theirs.
};
inline constexpr Ranks all = Ranks::all;

struct InitOptions {
  unsigned nodes = 1;  // Raylets to start on this machine when there is no cluster to join.
  Ranks ranks = Ranks::one;
  bool exec_workers = false;  // Start each worker by exec; never fork one.
  LabelView settings{};       // Over the environment's and the file's.
};

// What init() started or joined; ends with it.  Refs and handles must be gone before.
class [[nodiscard]] Session {
 public:
  explicit Session(std::unique_ptr<runtime::SessionImpl> impl);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // With InitOptions::ranks = all, the launcher's; else 0 of 1.
  std::uint32_t rank() const;
  std::uint32_t size() const;

 private:
  std::unique_ptr<runtime::SessionImpl> impl_;
};

// The first line of main.  Finds out what this process is: in a worker it runs tasks and never returns; in the driver
// it starts or joins a cluster.  Takes its own arguments out of argv.  Throws an Error that says what is wrong.
Session init(int& argc, char**& argv, InitOptions options = {});
// The same where main's arguments are not at hand.
Session init(InitOptions options = {});

// Where the calling code runs.
struct Context {
  std::string job;
  std::string task;
  std::string actor;  // Empty outside actors.
  std::string node;
  std::string worker;
  std::string ns;
  std::uint32_t attempt = 0;  // 0 in the first run of a task.
  bool cancelled = false;     // Somebody asked that this task stop: long ones that do not wait look here.
};
Context context();

// Until the time of the cluster is over: of the Slurm job, or as MOBULA_END_TIME says; nullopt: nobody knows of an end.
// Follows a limit that is moved, within a minute.  A task with an `estimate` that does not fit is not started: its ref
// throws Unschedulable.
std::optional<std::chrono::nanoseconds> time_left();

// Nodes, resources and settings, as `mobula status --json` prints them.
std::string cluster_status_json();

}  // namespace mobula

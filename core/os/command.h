#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"

namespace mobula::os {

// A short-lived program of the system (squeue, scontrol, ...) that is asked for a few words: found by PATH, without
// input, killed at its deadline, its output limited.
struct CommandOptions {
  std::vector<std::string> argv;  // argv[0]: a name for PATH, or a path.
  std::vector<std::string> env;   // "NAME=value"; exactly these.
  base::Duration timeout = std::chrono::seconds(10);
};

inline constexpr std::size_t kCommandOutputBytesMax = 1024 * 1024;

// What it wrote to its standard output; errors name the program, how it ended and what it wrote to its standard error.
// kNotFound: there is no such program; kDeadline: it was killed.
using CommandResult = base::Result<std::string>;

// As PATH has it; a name with a slash is one already.  Empty: there is none.
std::string find_program(const std::string& name);

// Blocks the calling thread.
CommandResult run_command(const CommandOptions& options);

// The same beside a loop: `done` is called once, from the loop, unless this is destroyed first, which kills it.
class Command final {
 public:
  Command(EventLoop& loop, const CommandOptions& options, std::function<void(CommandResult)> done);
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::os

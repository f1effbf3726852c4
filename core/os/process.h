#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// How a child ended.
struct ExitStatus {
  bool signaled = false;
  int code = 0;                        // Exit code, or the signal's number.
  std::int64_t most_resident_kib = 0;  // Of its memory; 0: not known.
  bool ok() const { return !signaled && code == 0; }
  std::string to_string() const;  // "exit code 3", "signal 11 (SIGSEGV)".
};

struct SpawnOptions {
  std::string path;                      // Absolute; /proc/self/exe is allowed.
  std::vector<std::string> argv;         // argv[0] included.
  std::vector<std::string> env;          // "NAME=value"; exactly these.
  std::string cwd;                       // Empty: ours.
  std::vector<std::pair<int, int>> fds;  // (ours, the child's number); 0, 1, 2 are inherited unless named.
  bool new_process_group = true;
  bool die_with_parent = true;  // PR_SET_PDEATHSIG SIGKILL, race-free against a dead parent.
  // SIGTERM and its like wait until the child takes them (end_signals.h), instead of ending it while it starts.
  bool hold_end_signals = false;
};

// Starts a program with every other descriptor closed.  The thread that calls must outlive the child
// when die_with_parent is set (pdeathsig follows the thread).
base::Result<pid_t> spawn(const SpawnOptions& options);

Fd open_pidfd(pid_t pid);                   // Invalid when there is no such process.
std::optional<ExitStatus> reap(pid_t pid);  // Our own child; nullopt while it runs.
ExitStatus wait_for(pid_t pid);             // Blocks.
bool process_exists(pid_t pid);
// The kernel's OOM killer takes this process and its future children before others of the same size.
void offer_to_oom_killer();
void die_with_parent(pid_t expected_parent);         // For the child: also exits at once if it is gone.
std::string self_exe();                              // Path of the running binary.
std::string self_build_id();                         // GNU build-id of the running binary in hex; "" if it has none.
std::string file_build_id(const std::string& path);  // The same of a file; "" when unreadable.
std::vector<std::string> environment();
void set_process_name(const std::string& name);  // Thread name, at most 15 bytes.

}  // namespace mobula::os

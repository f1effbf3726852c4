#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mobula::os {

// CPU time that a process with all its threads has used so far; nullopt when it is gone.  `root` stands before the
// paths that are read ("" for this machine).
std::optional<std::chrono::nanoseconds> read_cpu_time(pid_t pid, const std::string& root = {});
// Its memory, what it shares with others by shares (PSS); where the kernel does not tell, what is resident.  The kernel
// walks its pages for it: milliseconds for a process of gigabytes.
std::optional<std::uint64_t> read_memory_use(pid_t pid, const std::string& root = {});
// Cheap: pages that are resident and that it shares with no file.
std::optional<std::uint64_t> read_private_memory(pid_t pid, const std::string& root = {});

}  // namespace mobula::os

#pragma once

#include <sys/types.h>

#include <string>

namespace mobula::os {

// What tells this process from a later one with the same number, after a restart of the machine too: the boot and the
// time of its start.  Empty when there is no such process, or nothing but its exit status is left of it.
std::string process_identity(pid_t pid);

}  // namespace mobula::os

#pragma once

#include <cstdint>

namespace mobula::os {

// fork() copies a process with all that it believes to own: connections, child processes, marks in shared memory.  What
// must not be done twice notes the generation in which it was made, and leaves everything alone in another one.
// Programs that are started (spawn, vfork and exec) are no copies.

// From now on copies are counted; without effect when called again.  Before anything is made that asks.
void watch_forks();
// How many times fork() lies between the process that called watch_forks() and this one.  Any thread, no lock.
std::uint32_t fork_generation();

}  // namespace mobula::os

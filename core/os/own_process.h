#pragma once

#include <signal.h>

#include <string>
#include <vector>

namespace mobula::os {

std::vector<std::string> command_line();  // As this process was started; empty when the kernel does not tell.

// From now on the kernel keeps how children ended until they are reaped, whatever the program has asked for.  Returns
// what that was.
struct sigaction keep_ended_children();

}  // namespace mobula::os

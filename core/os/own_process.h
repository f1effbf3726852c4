#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "core/base/result.h"

namespace mobula::os {

std::vector<std::string> command_line();  // As this process was started; empty when the kernel does not tell.

// From now on the kernel keeps how children ended until they are reaped, whatever the program has asked for.  Returns
// what that was.
struct sigaction keep_ended_children();

// For good, with that user's groups.  Only root can become another; kNotFound when there is no such user.
base::Result<void> become_user(uid_t uid);

}  // namespace mobula::os

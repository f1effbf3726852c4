#pragma once

#include <string>
#include <vector>

namespace mobula::os {

std::vector<std::string> command_line();  // As this process was started; empty when the kernel does not tell.

}  // namespace mobula::os

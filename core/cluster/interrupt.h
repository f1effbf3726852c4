#pragma once

#include <string>

namespace mobula::cluster {

// For a driver whose first Ctrl-C lets what is under way end: the next one ends this process at once, and with it
// whatever lives on its being there.  `session` is the directory that nobody but this process would remove; empty when
// there is none.  Once in a process.
void end_at_next_interrupt(const std::string& session);

}  // namespace mobula::cluster

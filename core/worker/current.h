#pragma once

#include "core/base/machine.h"

namespace mobula::runtime {

class Process;

// The one Process of this process; null before init(), after the session, and in a fork() of this process.  It stays
// while a RuntimeUse is held, and without one where the session cannot end meanwhile: in workers.
Process* current_process();
void set_current_process(Process* process);

// Once there is none any more: whether calls that began before that have all ended, waiting so long for them.
bool calls_have_ended(base::Duration patience);

}  // namespace mobula::runtime

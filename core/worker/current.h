#pragma once

namespace mobula::runtime {

class Process;

// The one Process of this process; null before init() and after the session.
Process* current_process();
void set_current_process(Process* process);

}  // namespace mobula::runtime

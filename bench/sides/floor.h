#pragma once

#include "bench/sides/serve.h"

namespace mobula::bench {

// What the machine itself takes, without anything of ours around.
void add_memory_floors(Side& side);
void add_group_floors(Side& side);    // Processes that hand over in shared memory and copy, all at once.
void add_tcp_floors(Side& side);      // One raw loopback stream between two processes.
void add_process_floors(Side& side);  // eventfd between sleeping processes, fork.  Of a small process.
void add_ucx_floors(Side& side);      // Active messages over UCX's shared memory.

}  // namespace mobula::bench

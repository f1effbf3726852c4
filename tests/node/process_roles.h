#pragma once

namespace mobula::testing {

// The first thing of main() in tests that start clusters from themselves: a GCS, raylet, zygote or worker never
// returns. Workers are bare: they register, and then do what the messages of their raylet and the variable NODE_TEST
// say:
//   crash-on-start  segfault before registering      speak  write a line to each stream when ready
//   mute            never say WORKER_READY           threads (whole process) have a thread before init
void take_role();

}  // namespace mobula::testing

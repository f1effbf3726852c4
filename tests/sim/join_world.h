#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/machine.h"

namespace mobula::sim {

// A start of many nodes at once, on virtual time: the real MembershipMachine and NewsBatch at a GCS that handles one
// message after the other, and nodes that do what a raylet does, over links of one latency.
//
//   node    <-> rank 0   where is the GCS                                    2 messages
//   node    <-> GCS      handshake (3), registration (2) on one channel;     5
//                        handshake (3), heartbeats (2 each) on another
//   GCS      -> node     news of nodes, when the batch says so
//
// Bytes cost nothing here: how long a view of N nodes takes to send is not in the figures, nor are processes that
// start.
struct JoinOptions {
  std::uint32_t nodes = 1;
  base::Duration link = std::chrono::microseconds(50);
  base::Duration handle = std::chrono::microseconds(20);  // What a message costs the GCS that it gets,
  base::Duration send = std::chrono::microseconds(5);     // and one that it sends.
  base::Duration beat_every = std::chrono::milliseconds(250);
};

struct JoinFigures {
  base::Duration all_up{};         // From the start until the GCS has told rank 0 that all nodes are there.
  base::Duration all_known{};      // Until each node knows of all others, too.
  double messages_per_node = 0;    // Of all nodes, up to all_known; mean.
  std::uint64_t messages_max = 0;  // Of the node with most.
};
JoinFigures simulate_join(const JoinOptions& options);

}  // namespace mobula::sim

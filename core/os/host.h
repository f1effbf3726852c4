#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mobula::os {

// What this machine is and gives to this process.
std::string host_name();
std::string boot_id();                    // /proc/sys/kernel/random/boot_id and the namespaces (ipc, pid, mnt, net)
                                          // that decide whether two processes can share memory and sockets.
unsigned cpus_available();                // sched_getaffinity and the cgroup's quota, at least 1.
std::uint64_t memory_limit_bytes();       // The smallest of physical memory and every cgroup above us.
std::uint64_t memory_available_bytes();   // What can still be taken before the kernel kills.
std::vector<std::string> ip_addresses();  // Of interfaces that are up, loopback last; IPv4 first.

}  // namespace mobula::os

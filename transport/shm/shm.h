#pragma once

#include <memory>

#include "transport/transport.h"

namespace mobula::transport::shm {

// A worker for peers on this host: rings in shared memory for messages, mapped memory files and the
// kernel's cross-process copy for large data (README.md).  Its address holds the path of a socket in
// options.socket_directory.  Returns after some system calls, with no thread made and no page touched that is not used.
//
// kInvalid: ring_bytes is not a power of two of 4 KiB to 1 GiB, or the socket's path is too long.
Result<std::unique_ptr<Worker>> make_shm_worker(const WorkerOptions& options, Inbox& inbox);

// For tests and measurements of the paths that a kernel may refuse.
struct ShmTuning {
  bool process_vm = true;  // May copy to and from peers' memory through the kernel.
};
Result<std::unique_ptr<Worker>> make_shm_worker(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning);

}  // namespace mobula::transport::shm

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/os/fd.h"
#include "tests/transport/backend.h"

namespace mobula::test {

// What the peer program does with a message, by its type.
enum class PeerCall : std::uint16_t {
  kEcho = 1,          // Sends it back.
  kDigest = 2,        // Answers with hash64 of the payload.
  kShare = 3,         // Header: ShareRequest.  Registers memory and answers with its key.
  kDigestShared = 4,  // Answers with hash64 of that memory.
  kFlood = 5,         // Sends messages of this type, each as large as the payload, for ever.
};
struct ShareRequest {
  std::uint64_t size;
  std::uint64_t in_file;  // 1: a memory file; 0: the heap.
};

// The program's life as a peer: prints its address in hex, then serves until its parent dies.
int run_peer(const std::string& backend, const std::string& directory);

// A peer that this process started; killed and reaped when destroyed.
class PeerProcess {
 public:
  PeerProcess(const Backend& backend, const std::string& directory);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  const std::string& address() const { return address_; }
  void stop();  // SIGSTOP.
  void kill();  // SIGKILL; does not wait.

 private:
  pid_t pid_ = 0;
  os::Fd output_;
  std::string address_;
};

}  // namespace mobula::test

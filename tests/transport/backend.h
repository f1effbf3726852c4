#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "transport/transport.h"

// How a transport backend takes part in the conformance suite: it defines backends() in one small file, which
// mobula_conformance_test() (CMakeLists.txt here) links with the suite into one program.  Started with
// --peer, that program is the other process that the tests talk to and kill.
namespace mobula::test {

struct Traits {
  // Workers of different processes can reach each other.  The tests with a peer program run then, and
  // `loses_killed_peer_within` bounds how soon a survivor is told of a SIGKILL.
  bool processes = true;
  std::chrono::milliseconds loses_killed_peer_within{2000};
  // The link's own queues plus queue_bytes_max never take more than this from one sender whose peer
  // does not call progress().
  std::size_t backlog_bytes_max = 96u << 20;
  // Sizes of a message and of a region that the suite goes up to.
  std::size_t large_bytes = 64u << 20;
  int many_peers = 32;
};

// One test's world: the virtual network of a simulated backend, nothing for a real one.  Destroyed after
// its workers.
class Fabric {
 public:
  virtual ~Fabric() = default;

  // `options.credentials` and `options.socket_directory` are set by the suite.
  virtual base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                                       transport::Inbox& inbox) = 0;

  // Returns when one of the workers may have something to do, or at `at_most`.  A simulated backend
  // moves its clock instead of sleeping.
  virtual void wait(std::span<transport::Worker* const> workers, base::Duration at_most);

  // Addresses ("unix:PATH", "tcp:HOST:PORT") of all sockets that the worker listens on, so that the
  // suite can throw garbage at them.
  virtual std::vector<std::string> listeners(const transport::Worker& worker) const = 0;

  // Backends without processes: the worker vanishes without a goodbye; others hear nothing more of it.
  // The suite destroys it afterwards.
  virtual void crash(transport::Worker& worker) { static_cast<void>(worker); }
};

struct Backend {
  std::string name;  // Letters, digits, underscores: "shm", "sock_tcp", "ucx_posix".
  Traits traits;
  std::unique_ptr<Fabric> (*make_fabric)();
};

// Defined once by each backend_*.cc.  Several entries are several configurations; none at all (say, no
// RDMA device on this machine) makes the suite skip and say `why_none`.
struct Backends {
  std::vector<Backend> all;
  std::string why_none;
};
Backends backends();

// The default Fabric::wait: arms each worker, polls their event descriptors.
void wait_for_any(std::span<transport::Worker* const> workers, base::Duration at_most);

}  // namespace mobula::test

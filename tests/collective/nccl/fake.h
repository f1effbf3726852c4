#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "collective/nccl/library.h"

namespace mobula::collective::nccl {

// Entry points that record what is called, and answer as they are told; one at a time in a process.  No memory moves.
class FakeNccl {
 public:
  FakeNccl();
  ~FakeNccl();
  FakeNccl(const FakeNccl&) = delete;
  FakeNccl& operator=(const FakeNccl&) = delete;

  Library library;
  std::vector<std::string> calls;      // "allreduce 4 float32 sum", ...
  std::deque<Status> answers;          // Of operations, joins and shrinks, in order; then kSuccess.
  std::map<Comm, Status> async_error;  // What a query says; kSuccess when it is not there.
  std::string last_error;
  std::vector<Comm> alive;

  bool busy_is_misused = false;  // An operation came while the communicator was busy: NCCL's behaviour is undefined.
};

}  // namespace mobula::collective::nccl

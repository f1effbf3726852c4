#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "core/worker/links.h"
#include "core/worker/references.h"
#include "core/worker/running_call.h"

namespace mobula::runtime {

// What this process answers to its callers, and the references in the answers, which it holds until the callers say
// that they do.
//
// Under the engine's lock.
class Replies {
 public:
  Replies(Links& links, References& references) : links_(links), references_(references) {}

  // The call has ended; takes its results.
  void send(RunningCall& call);
  // The call cannot run here.
  void refuse(Peer& to, const CallHeader& call, const ErrorInfo& error);
  // The call has not run and is to run elsewhere.
  void send_back(Peer& to, const CallHeader& call);

  void on_references_held(Peer& from, std::uint64_t call) { returned_.erase({&from, call}); }
  std::vector<ObjectRef> take_returned(Peer& peer);

 private:
  Links& links_;
  References& references_;
  std::map<std::pair<Peer*, std::uint64_t>, std::vector<ObjectRef>> returned_;  // By call: until the caller holds them.
};

}  // namespace mobula::runtime

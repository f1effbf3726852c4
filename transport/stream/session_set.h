#pragma once

#include <memory>
#include <unordered_map>

#include "transport/stream/session.h"

namespace mobula::transport::stream {

// The sessions and regions of one worker, and the order in which its owner hears of them.
//
// A round of Worker::progress() is: the backend calls on_readable() and on_writable() of the sessions whose streams
// are ready, then finish_round().
class SessionSet {
 public:
  SessionSet(const WorkerOptions& options, Inbox& inbox);

  const WorkerOptions& options() const { return options_; }
  Shared& shared() { return shared_; }
  Session& add(std::unique_ptr<Session> session);
  Result<std::unique_ptr<Region>> register_memory(Bytes memory) { return regions_.add(memory); }

  // Writes, tells completions, writable and lost endpoints, and destroys those that are over.  How many
  // callbacks it ran.
  std::size_t finish_round();

  // Writes what waits; true when the next round has something to tell.
  bool flush();

 private:
  void flush_dirty();
  std::size_t tell_writable();
  std::size_t bury();

  const WorkerOptions options_;
  RegionTable regions_;
  Shared shared_;
  std::unordered_map<const Session*, std::unique_ptr<Session>> sessions_;
};

}  // namespace mobula::transport::stream

#pragma once

#include <signal.h>

#include <optional>

#include "core/os/fd.h"

namespace mobula::os {

// Signals that tell a process of a cluster to end: SIGTERM, SIGINT, SIGHUP, blocked and read from a descriptor.
//
// Slurm signals every process of a job, though its orderly end is the driver's to bring about.  So a process that
// belongs to another one takes, inside a Slurm job, the word of that one alone; the end of its owner ends it anyway.
class EndSignals final {
 public:
  enum class Owner { kParent, kNobody };
  explicit EndSignals(Owner owner);

  int fd() const { return fd_.get(); }
  // The next signal that means: end.  nullopt when there is none.
  std::optional<int> take();

 private:
  const bool only_parent_;
  Fd fd_;
};

// Keeps SIGTERM, SIGINT and SIGHUP, where they are not ignored, from the calling thread while it lives, so that what it
// begins can be undone; they act then.
class HeldEndSignals final {
 public:
  HeldEndSignals();
  ~HeldEndSignals();
  HeldEndSignals(const HeldEndSignals&) = delete;
  HeldEndSignals& operator=(const HeldEndSignals&) = delete;

  int fd() const { return fd_.get(); }  // Can be read once one has come.  To be polled, not read.

 private:
  sigset_t before_;
  Fd fd_;
};

}  // namespace mobula::os

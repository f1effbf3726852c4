#pragma once

#include <map>
#include <memory>

#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/raylet/worker_source.h"

namespace mobula::raylet {

// Starts each worker by exec: for programs that have threads before init(), or that ask for it.
class ExecSource final : public WorkerSource {
 public:
  ExecSource(os::EventLoop& loop, WorkerProgram program, Events events);
  ~ExecSource() override;
  ExecSource(const ExecSource&) = delete;
  ExecSource& operator=(const ExecSource&) = delete;

  void start(const WorkerOrder& order) override;
  void kill(pid_t pid) override;

 private:
  struct Child {
    os::Fd pidfd;
    os::EventLoop::Id watch = 0;
    std::uint64_t token = 0;
    bool announced = false;
  };
  void announce(pid_t pid);
  void ended(pid_t pid);

  os::EventLoop& loop_;
  const WorkerProgram program_;
  Events events_;
  std::map<pid_t, Child> children_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mobula::raylet

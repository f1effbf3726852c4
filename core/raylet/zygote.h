#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/raylet/worker_source.h"
#include "core/raylet/zygote_wire.h"

namespace mobula::raylet {

// The raylet's side of a job's zygote: the job's program, started once and stopped in init() while it is small and has
// one thread, which forks a worker in a tenth of a millisecond (core/worker/zygote_main.h).
//
// Orders may be given at once; they wait for the program.  A program that has threads before init() ends the zygote
// with Events::unsuitable, and one that never calls init() with Events::ended when it exits.
class Zygote final : public WorkerSource {
 public:
  static base::Result<std::unique_ptr<Zygote>> spawn(os::EventLoop& loop, const WorkerProgram& program, Events events,
                                                     std::function<void(int threads)> unsuitable);
  ~Zygote() override;
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  void start(const WorkerOrder& order) override;
  void kill(pid_t pid) override;

  pid_t pid() const { return pid_; }

 private:
  Zygote(os::EventLoop& loop, Events events, std::function<void(int)> unsuitable, os::Fd socket, pid_t pid, os::Fd log,
         std::string log_path);

  void readable();
  void take(const ZygoteReport& report);
  void lost();
  std::string last_words() const;
  void fail_later(std::uint64_t token, std::string why);

  os::EventLoop& loop_;
  Events events_;
  std::function<void(int)> unsuitable_;
  os::Fd socket_;
  pid_t pid_;
  os::Fd log_;
  std::string log_path_;
  bool gone_ = false;
  os::EventLoop::Id watch_ = 0;
  std::set<std::uint64_t> ordered_;  // Not yet answered.
  std::set<pid_t> workers_;          // Alive.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mobula::raylet

#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "core/base/machine.h"
#include "core/os/event_loop.h"

namespace mobula::os {

// Drives a machine on an event loop: gives it inputs and the time, hands its outputs on, and comes back at its
// deadline. Outputs may bring new inputs before step() has returned: these wait their turn.
//
// The loop's thread.  The loop and the machine outlive it.
template <class Machine>
class MachineRunner {
 public:
  using Input = typename Machine::Input;
  using Output = typename Machine::Output;

  MachineRunner(EventLoop& loop, Machine& machine, std::function<void(Output&&)> put)
      : loop_(loop), machine_(machine), put_(std::move(put)) {}
  ~MachineRunner() { loop_.cancel(timer_); }
  MachineRunner(const MachineRunner&) = delete;
  MachineRunner& operator=(const MachineRunner&) = delete;

  void step(Input input) {
    inputs_.push_back(std::move(input));
    if (!running_) run();
  }

 private:
  void run() {
    running_ = true;
    base::Outbox<Output> outputs;
    machine_.tick(now(), outputs);
    do {
      if (!inputs_.empty()) {
        machine_.step(now(), std::move(inputs_.front()), outputs);
        inputs_.pop_front();
      }
      for (auto& output : std::exchange(outputs, {})) put_(std::move(output));
    } while (!inputs_.empty());
    running_ = false;
    loop_.cancel(std::exchange(timer_, 0));
    if (const auto deadline = machine_.next_deadline()) {
      timer_ = loop_.at(*deadline, [this] {
        timer_ = 0;
        run();
      });
    }
  }

  EventLoop& loop_;
  Machine& machine_;
  const std::function<void(Output&&)> put_;
  std::deque<Input> inputs_;
  bool running_ = false;
  EventLoop::Id timer_ = 0;
};

}  // namespace mobula::os

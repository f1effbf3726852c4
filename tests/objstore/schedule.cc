#include "tests/objstore/schedule.h"

#include <array>
#include <utility>

namespace mobula::testing {
namespace {

constexpr std::size_t kStackBytes = 128u << 10;
constexpr std::size_t kProcessesMax = 8;

}  // namespace

Schedules* Schedules::current_ = nullptr;

std::size_t Schedules::explore(const Options& options, const std::function<std::vector<Process>()>& world,
                               const std::function<void(bool)>& after) {
  Schedules schedules;
  schedules.options_ = options;
  std::size_t runs = 0;
  do {
    schedules.run_once(world());
    after(schedules.killed_);
    ++runs;
  } while (schedules.next_schedule());
  return runs;
}

void Schedules::enter() {
  Fiber& self = *current_->fibers_[static_cast<std::size_t>(current_->running_)];
  self.body();
  self.done = true;
  current_->go_on(self);
}

void Schedules::point() {
  if (current_ != nullptr && current_->running_ >= 0) {
    current_->go_on(*current_->fibers_[static_cast<std::size_t>(current_->running_)]);
  }
}

// From `self` to whoever is next, which is mostly itself.
void Schedules::go_on(Fiber& self) {
  running_ = next();
  ucontext_t* to = running_ < 0 ? &home_ : &fibers_[static_cast<std::size_t>(running_)]->context;
  if (to != &self.context) swapcontext(&self.context, to);
}

std::size_t Schedules::choose(std::size_t options) {
  if (depth_ == choices_.size()) choices_.push_back({0, options});
  return choices_[depth_++].taken;
}

// Who does the next operation; -1 when all are done.  The first choice is always to go on with the same one.
int Schedules::next() {
  const int last = running_;
  std::array<int, kProcessesMax> candidates{};
  std::size_t count = 0;
  const bool can_go_on = last >= 0 && !fibers_[static_cast<std::size_t>(last)]->done;
  if (can_go_on) candidates[count++] = last;
  if (!can_go_on || preemptions_ < options_.preemptions_max) {
    for (int i = 0; i < static_cast<int>(fibers_.size()); ++i) {
      if (i != last && !fibers_[static_cast<std::size_t>(i)]->done) candidates[count++] = i;
    }
  }
  if (count == 0) return -1;
  const std::size_t taken = count > 1 ? choose(count) : 0;
  if (can_go_on && taken != 0) ++preemptions_;
  const int chosen = candidates[taken];
  if (chosen != options_.victim || killed_ || choose(2) == 0) return chosen;
  killed_ = true;
  fibers_[static_cast<std::size_t>(chosen)]->done = true;  // Never resumed: as SIGKILL leaves it.
  running_ = chosen;
  return next();
}

void Schedules::run_once(std::vector<Process> processes) {
  depth_ = 0;
  preemptions_ = 0;
  running_ = -1;
  killed_ = false;
  current_ = this;
  fibers_.resize(processes.size());
  for (std::size_t i = 0; i < processes.size(); ++i) {
    if (!fibers_[i]) fibers_[i] = std::make_unique<Fiber>();
    Fiber& fiber = *fibers_[i];
    fiber.stack.resize(kStackBytes);
    fiber.body = std::move(processes[i]);
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &home_;
    makecontext(&fiber.context, &Schedules::enter, 0);
  }
  running_ = next();
  if (running_ >= 0) swapcontext(&home_, &fibers_[static_cast<std::size_t>(running_)]->context);
  running_ = -1;
  current_ = nullptr;
}

bool Schedules::next_schedule() {
  while (!choices_.empty()) {
    if (++choices_.back().taken < choices_.back().options) return true;
    choices_.pop_back();
  }
  return false;
}

}  // namespace mobula::testing

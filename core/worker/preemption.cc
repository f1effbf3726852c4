#include "core/worker/preemption.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "core/cluster/interrupt.h"
#include "core/os/command.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/worker/process.h"
#include "slurm/job_time.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr auto kRequeueTime = std::chrono::seconds(5);
constexpr auto kJobEndTime = std::chrono::seconds(4);  // Actors' destructors run in it.
// How often the time left is looked at, since a limit may be moved.
constexpr auto kLookEvery = std::chrono::seconds(10);
constexpr std::array<std::pair<const char*, int>, 6> kSignals{
    {{"TERM", SIGTERM}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"HUP", SIGHUP}, {"XCPU", SIGXCPU}, {"INT", SIGINT}}};

std::string name_of_signal(int number) {
  for (const auto& [name, known] : kSignals) {
    if (known == number) return std::string("SIG") + name;
  }
  return "signal " + std::to_string(number);
}

Result<std::vector<int>> parse_signals(std::string_view text) {
  std::vector<int> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view name = text.substr(0, comma);
    if (name.substr(0, 3) == "SIG") name.remove_prefix(3);
    const auto it = std::find_if(kSignals.begin(), kSignals.end(), [name](const auto& s) { return name == s.first; });
    if (it == kSignals.end()) {
      return Error{Code::kInvalid,
                   "preempt_signals: \"" + std::string(name) + "\" is none of TERM, USR1, USR2, HUP, XCPU, INT"};
    }
    out.push_back(it->second);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return out;
}

void say(const std::string& line) {
  std::fprintf(stderr, "mobula: %s\n", line.c_str());
  std::fflush(stderr);
}

std::vector<int> with_interrupt(std::vector<int> signals) {
  if (std::find(signals.begin(), signals.end(), SIGINT) == signals.end()) signals.push_back(SIGINT);
  return signals;
}

}  // namespace

void PreemptCallbacks::add(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  callbacks_.push_back(std::move(callback));
}

std::vector<std::function<void()>> PreemptCallbacks::all() const {
  const std::lock_guard lock(mutex_);
  return callbacks_;
}

Result<PreemptOptions> preempt_options(const base::Settings& settings, const std::vector<std::string>& environment) {
  PreemptOptions out;
  auto signals = parse_signals(settings.text("preempt_signals"));
  if (!signals) return signals.error();
  out.signals = std::move(*signals);
  const auto warning = settings.number("preempt_warning_s");
  if (!warning) return warning.error();
  const auto grace = settings.number("preempt_grace_s");
  if (!grace) return grace.error();
  out.warning = std::chrono::milliseconds(static_cast<std::int64_t>(*warning * 1000));
  out.grace = std::chrono::milliseconds(static_cast<std::int64_t>(*grace * 1000));
  const auto interrupt = settings.number("interrupt_grace_s");
  if (!interrupt) return interrupt.error();
  out.interrupt_grace = std::chrono::milliseconds(static_cast<std::int64_t>(*interrupt * 1000));
  out.requeue = settings.flag("requeue");
  out.job_id = slurm::read_job_time(environment).job_id;
  return out;
}

Preemption::Preemption(PreemptOptions options, Process& process, PreemptCallbacks& callbacks,
                       std::function<void()> end_cluster)
    : options_(std::move(options)),
      process_(process),
      callbacks_(callbacks),
      end_cluster_(std::move(end_cluster)),
      signals_(with_interrupt(options_.signals), os::SignalPipe::Take::kOnlyDefault) {
  if (!signals_.valid()) return;
  // The thread takes none of the program's signals.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Preemption::~Preemption() {
  if (!thread_.joinable()) return;
  signals_.wake();
  thread_.join();
}

bool Preemption::preempts(int signal) const {
  return std::find(options_.signals.begin(), options_.signals.end(), signal) != options_.signals.end();
}

void Preemption::watch() {
  for (;;) {
    int wait_ms = -1;
    if (options_.warning > base::Duration::zero()) {
      const auto left = process_.time_left();
      if (left && *left <= options_.warning) {
        preempt("the cluster's time ends in " + std::to_string(std::chrono::ceil<std::chrono::seconds>(*left).count()) +
                    " s",
                SIGTERM);
      }
      const base::Duration look =
          left ? std::min<base::Duration>(*left - options_.warning, kLookEvery) : base::Duration(kLookEvery);
      wait_ms = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(look).count());
    }
    pollfd polled{signals_.fd(), POLLIN, 0};
    if (::poll(&polled, 1, wait_ms) <= 0) continue;
    const auto number = signals_.take();
    if (!number) continue;
    if (*number == 0) return;
    if (*number == SIGINT && !preempts(SIGINT)) {
      cluster::end_at_next_interrupt(options_.session);
      if (options_.leads) interrupt();
      continue;
    }
    preempt(name_of_signal(*number), *number);
  }
}

void Preemption::preempt(const std::string& why, int signal) {
  const base::Time began = os::now();
  callbacks_.begin();
  if (signal == SIGTERM && options_.warning > base::Duration::zero()) say(why + ": ending");
  const bool had_callbacks = run_callbacks(began + options_.grace / 2);
  const auto savers = process_.save_actors(Process::Saves::kCount, std::chrono::seconds(2));
  const std::uint32_t actors = savers ? savers->actors() : 0;
  if (had_callbacks || actors != 0) {
    say(why + ": saving what " + std::to_string(callbacks_.all().size()) + " callbacks and " + std::to_string(actors) +
        " actors have, then ending");
    process_.drain(began + options_.grace * 3 / 4);
  }
  if (actors != 0) save_actors(began + options_.grace);
  if (options_.requeue) requeue(signal);
  end(signal);
}

void Preemption::interrupt() {
  const base::Time began = os::now();
  if (const std::size_t calls = process_.begin_drain(); calls != 0) {
    say("interrupted: " + std::to_string(calls) + " calls under way have " +
        std::to_string(std::chrono::ceil<std::chrono::seconds>(options_.interrupt_grace).count()) +
        " s to end (Ctrl-C again ends at once)");
  }
  process_.drain(began + options_.interrupt_grace);
  end(SIGINT);
}

void Preemption::end(int signal) {
  std::fflush(nullptr);
  process_.stand_still();  // The program must not see its cluster go.
  process_.finish_job_standing_still(kJobEndTime);
  end_cluster_();
  os::die_by(signal);
}

// On a thread of its own, so that one that hangs does not take the actors' time.
bool Preemption::run_callbacks(base::Time until) {
  struct Progress {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  auto callbacks = callbacks_.all();
  if (callbacks.empty()) return false;
  const auto progress = std::make_shared<Progress>();
  std::thread([callbacks = std::move(callbacks), progress] {
    for (const auto& callback : callbacks) {
      try {
        callback();
      } catch (const std::exception& e) {
        say(std::string("an on_preempt callback threw: ") + e.what());
      } catch (...) {
        say("an on_preempt callback threw something that is no std::exception");
      }
    }
    const std::lock_guard lock(progress->mutex);
    progress->done = true;
    progress->changed.notify_all();
  }).detach();
  std::unique_lock lock(progress->mutex);
  if (!progress->changed.wait_until(lock, until, [&] { return progress->done; })) {
    say("the on_preempt callbacks take too long: going on without them");
  }
  return true;
}

void Preemption::save_actors(base::Time until) {
  const base::Duration patience = std::max<base::Duration>(until - os::now(), std::chrono::milliseconds(100));
  const auto saved = process_.save_actors(Process::Saves::kWrite, patience);
  if (!saved) return say("the actors' state could not be saved: " + saved.error().what);
  for (const std::string& error : saved->errors()) say("not saved: " + error);
  say("saved the state of " + std::to_string(saved->saved()) + " actors in " + process_.saved_state().directory());
}

// Not after a plain SIGTERM: scancel sends it, and a cancelled job must not come back.
void Preemption::requeue(int signal) {
  if (options_.job_id.empty()) return;
  const auto left = process_.time_left();
  const bool cancelled =
      signal == SIGTERM && !(left && *left <= std::max<base::Duration>(options_.warning, std::chrono::seconds(1)));
  if (cancelled) return say("not requeued: the job was told to end before its time");
  const auto asked = os::run_command({{"scontrol", "requeue", options_.job_id}, os::environment(), kRequeueTime});
  say(asked ? "job " + options_.job_id + " is requeued"
            : "job " + options_.job_id + " is not requeued: " + asked.error().what);
}

void outlive_job_signals() {
  if (std::getenv("SLURM_JOB_ID") == nullptr) return;
  for (const int number : {SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU}) {
    // Handled, not ignored: what is ignored stays so in the programs that this one starts.
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace mobula::runtime

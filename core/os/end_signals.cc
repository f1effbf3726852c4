#include "core/os/end_signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>

#include "core/os/log.h"

namespace mobula::os {

EndSignals::EndSignals(Owner owner) : only_parent_(owner == Owner::kParent && std::getenv("SLURM_JOB_ID") != nullptr) {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&ends, number);
  if (only_parent_) {
    for (const int number : {SIGUSR1, SIGUSR2, SIGXCPU}) sigaddset(&ends, number);
  }
  // And no others: whoever started us may have held them (SpawnOptions::hold_end_signals).
  ::pthread_sigmask(SIG_SETMASK, &ends, nullptr);
  fd_ = Fd(::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
}

std::optional<int> EndSignals::take() {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == sizeof info) {
    const auto number = static_cast<int>(info.ssi_signo);
    const auto sender = static_cast<pid_t>(info.ssi_pid);
    if (!only_parent_ || sender == ::getppid()) return number;
    log(LogLevel::kInfo, "signal {} of process {} is for the driver to act on", number, sender);
  }
  return std::nullopt;
}

HeldEndSignals::HeldEndSignals() {
  sigset_t held;
  sigemptyset(&held);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&held, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &held, &before_);
  fd_ = Fd(::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK));
}

HeldEndSignals::~HeldEndSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace mobula::os

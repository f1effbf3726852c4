#include "core/os/signal_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace mobula::os {
namespace {

std::atomic<int> write_end{-1};  // What the handler writes to.
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int number) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const auto n = ::write(write_end.load(), &byte, 1);
  errno = before;
}

}  // namespace

SignalPipe::SignalPipe(const std::vector<int>& signals, Take take) {
  std::array<int, 2> ends{};
  if (write_end.load() >= 0 || ::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;
  read_ = Fd(ends[0]);
  write_end.store(ends[1]);
  for (const int number : signals) {
    struct sigaction before {};
    if (::sigaction(number, nullptr, &before) != 0) continue;
    if (take == Take::kOnlyDefault && before.sa_handler != SIG_DFL) continue;
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    if (::sigaction(number, &action, nullptr) == 0) before_.emplace_back(number, before);
  }
}

SignalPipe::~SignalPipe() {
  if (!read_.valid()) return;
  for (const auto& [number, before] : before_) ::sigaction(number, &before, nullptr);
  ::close(write_end.exchange(-1));
}

std::optional<int> SignalPipe::take() {
  unsigned char number = 0;
  if (::read(read_.get(), &number, 1) != 1) return std::nullopt;
  return number;
}

void SignalPipe::wake() { handle(0); }

void die_by(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // The default action of this one ends nobody.
}

}  // namespace mobula::os

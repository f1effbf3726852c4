#include "core/cluster/end_on_signal.h"

#include <poll.h>
#include <signal.h>

#include "core/os/session.h"

namespace mobula::cluster {
namespace {

constexpr auto kEndTime = std::chrono::seconds(5);

}  // namespace

EndOnSignal::EndOnSignal()
    : signals_({SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}, os::SignalPipe::Take::kOnlyDefault) {
  if (!signals_.valid()) return;
  // The thread takes none of the program's signals.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EndOnSignal::~EndOnSignal() {
  if (!thread_.joinable()) return;
  signals_.wake();
  thread_.join();
}

void EndOnSignal::owns(const std::vector<Launch::Child>& children) {
  children_.clear();
  for (const auto& child : children) children_.push_back({child.pid, child.name, child.pidfd.duplicate()});
}

void EndOnSignal::watch() {
  for (;;) {
    pollfd polled{signals_.fd(), POLLIN, 0};
    if (::poll(&polled, 1, -1) <= 0) continue;
    const auto number = signals_.take();
    if (!number) continue;
    if (*number == 0) return;
    end(*number);
  }
}

void EndOnSignal::end(int signal) {
  const auto held = hold();
  end_children(children_, kEndTime);
  for (const auto& path : paths_) os::remove_tree(path);
  os::die_by(signal);
}

}  // namespace mobula::cluster

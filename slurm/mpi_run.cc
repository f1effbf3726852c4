#include "slurm/mpi_run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/os/error.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "slurm/mpi_keeper.h"

namespace mobula::slurm {
namespace {

using base::Result;

constexpr auto kEndTime = std::chrono::seconds(15);  // More than the keeper takes.

struct Pipe {
  os::Fd read, write;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return os::error_from_errno(errno, "a pipe");
  return Pipe{os::Fd(ends[0]), os::Fd(ends[1])};
}

Result<os::Fd> file_of(const std::string& text) {
  os::Fd file(::memfd_create("hosts", MFD_CLOEXEC));
  if (!file.valid()) return os::error_from_errno(errno, "a file of hosts");
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + at, text.size() - at);
    if (n <= 0) return os::error_from_errno(errno, "a file of hosts");
    at += static_cast<std::size_t>(n);
  }
  return file;
}

int milliseconds(base::Duration time) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(time).count();
  return static_cast<int>(std::clamp<decltype(ms)>(ms, 0, 3'600'000));
}

}  // namespace

void KeptOutput::add(const char* bytes, std::size_t size) {
  text_.append(bytes, size);
  if (text_.size() <= 2 * kMpiOutputBytesMax) return;
  const std::size_t cut = text_.size() - kMpiOutputBytesMax;
  dropped_ += cut;
  text_.erase(0, cut);
}

std::string KeptOutput::take() && {
  if (text_.size() > kMpiOutputBytesMax) {
    dropped_ += text_.size() - kMpiOutputBytesMax;
    text_.erase(0, text_.size() - kMpiOutputBytesMax);
  }
  if (dropped_ == 0) return std::move(text_);
  return "[" + std::to_string(dropped_) + " bytes before this were not kept]\n" + text_;
}

Result<std::unique_ptr<MpiRun>> MpiRun::start(const Options& options) {
  auto owner = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  auto hosts = file_of(options.command.host_file);
  if (!owner) return owner.error();
  if (!out) return out.error();
  if (!err) return err.error();
  if (!hosts) return hosts.error();
  const os::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  os::SpawnOptions keeper;
  keeper.path = "/proc/self/exe";
  keeper.argv = options.command.argv;
  keeper.env = options.command.env;
  keeper.env.insert(keeper.env.end(), options.keeper_env.begin(), options.keeper_env.end());
  keeper.cwd = options.directory;
  keeper.fds = {{null.get(), 0},
                {out->write.get(), 1},
                {err->write.get(), 2},
                {owner->read.get(), kMpiOwnerFd},
                {hosts->get(), kMpiHostFileFd}};
  keeper.die_with_parent = false;  // It has something to do then.
  const auto pid = os::spawn(keeper);
  if (!pid) return pid.error();
  auto run = std::unique_ptr<MpiRun>(new MpiRun);
  run->keeper_ = *pid;
  run->owner_ = std::move(owner->write);
  run->out_fd_ = std::move(out->read);
  run->err_fd_ = std::move(err->read);
  for (const os::Fd* fd : {&run->out_fd_, &run->err_fd_}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
  return run;
}

MpiRun::~MpiRun() {
  owner_.reset();
  if (keeper_ == 0 || wait(kEndTime)) return;
  ::kill(keeper_, SIGKILL);
  os::wait_for(keeper_);
}

// False at the end of the stream.
bool MpiRun::drain(os::Fd& from, KeptOutput& to) {
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t n = ::read(from.get(), part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    to.add(part.data(), static_cast<std::size_t>(n));
  }
}

bool MpiRun::wait(base::Duration time) {
  const base::Time until = os::now() + time;
  const os::Fd pidfd = os::open_pidfd(keeper_);
  while (keeper_ != 0) {
    std::array<pollfd, 3> polled{{{pidfd.get(), POLLIN, 0},
                                  {out_fd_.valid() ? out_fd_.get() : -1, POLLIN, 0},
                                  {err_fd_.valid() ? err_fd_.get() : -1, POLLIN, 0}}};
    const int n = ::poll(polled.data(), polled.size(), milliseconds(until - os::now()));
    if (n < 0 && errno != EINTR) return false;
    if (n <= 0 && os::now() >= until) return false;
    if (n <= 0) continue;
    if (polled[1].revents != 0 && !drain(out_fd_, out_)) out_fd_.reset();
    if (polled[2].revents != 0 && !drain(err_fd_, err_)) err_fd_.reset();
    if (polled[0].revents == 0) continue;
    // Nobody below it is left to write more.
    if (out_fd_.valid()) drain(out_fd_, out_);
    if (err_fd_.valid()) drain(err_fd_, err_);
    const os::ExitStatus status = os::wait_for(std::exchange(keeper_, 0));
    code_ = status.signaled ? 128 + status.code : status.code;
  }
  return true;
}

}  // namespace mobula::slurm

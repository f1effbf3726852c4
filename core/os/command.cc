#include "core/os/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

#include "core/os/error.h"
#include "core/os/process.h"

namespace mobula::os {

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* variable = std::getenv("PATH");
  std::string path = variable == nullptr || *variable == '\0' ? "/usr/local/bin:/usr/bin:/bin" : variable;
  path += ':';
  for (std::size_t begin = 0, end = path.find(':'); end != std::string::npos;
       begin = end + 1, end = path.find(':', begin)) {
    const std::string candidate = path.substr(begin, end - begin) + "/" + name;
    if (end != begin && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t kErrorTextMax = 1000;

// One program that runs, and what it has written.
class Running final {
 public:
  static Result<std::unique_ptr<Running>> start(const CommandOptions& options) {
    auto running = std::make_unique<Running>();
    running->name_ = options.argv.at(0);
    const std::string path = find_program(running->name_);
    if (path.empty()) return Error{Code::kNotFound, "there is no program " + running->name_ + " here"};
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0) return error_from_errno(errno, "a pipe");
    running->out_ = Fd(out[0]);
    const Fd out_write(out[1]);
    if (::pipe2(err.data(), O_CLOEXEC) != 0) return error_from_errno(errno, "a pipe");
    running->err_ = Fd(err[0]);
    const Fd err_write(err[1]);
    const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (const Fd* fd : {&running->out_, &running->err_}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    SpawnOptions spawn_options;
    spawn_options.path = path;
    spawn_options.argv = options.argv;
    spawn_options.env = options.env;
    spawn_options.fds = {{null.get(), 0}, {out_write.get(), 1}, {err_write.get(), 2}};
    spawn_options.die_with_parent = false;  // The thread that starts it may end first; the deadline bounds it.
    const auto pid = spawn(spawn_options);
    if (!pid) return pid.error();
    running->pid_ = *pid;
    running->pidfd_ = open_pidfd(*pid);
    return running;
  }
  ~Running() { kill(); }

  int out() const { return out_.get(); }
  int pidfd() const { return pidfd_.get(); }

  // Takes what can be read now; false at the end of the output.  Ends a program that writes too much.
  bool read_output() {
    std::array<char, 4096> part;
    for (;;) {
      const ssize_t n = ::read(out_.get(), part.data(), part.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return true;
      if (n <= 0) return false;
      text_.append(part.data(), static_cast<std::size_t>(n));
      if (text_.size() > kCommandOutputBytesMax) return ::kill(-pid_, SIGKILL), false;
    }
  }
  // REQUIRES: it has ended, or is about to by our hand.
  CommandResult result() {
    read_output();
    const ExitStatus status = wait_for(std::exchange(pid_, 0));
    if (text_.size() > kCommandOutputBytesMax) return Error{Code::kInvalid, name_ + " wrote more than can be read"};
    if (status.ok()) return std::move(text_);
    return Error{Code::kUnavailable, name_ + " ended with " + status.to_string() + complaint()};
  }
  CommandResult late() {
    kill();
    return Error{Code::kDeadline, name_ + " did not end in time and was killed" + complaint()};
  }
  void kill() {
    if (pid_ == 0) return;
    ::kill(-pid_, SIGKILL);
    wait_for(std::exchange(pid_, 0));
  }

 private:
  std::string complaint() {
    std::array<char, kErrorTextMax> text;
    ssize_t n = ::read(err_.get(), text.data(), text.size());
    while (n > 0 && text[static_cast<std::size_t>(n) - 1] == '\n') --n;
    return n <= 0 ? std::string() : ": " + std::string(text.data(), static_cast<std::size_t>(n));
  }

  std::string name_;
  pid_t pid_ = 0;
  Fd pidfd_;
  Fd out_;
  Fd err_;
  std::string text_;
};

int milliseconds_until(base::Time until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now()).count();
  return static_cast<int>(left < 0 ? 0 : left > 3'600'000 ? 3'600'000 : left);
}

}  // namespace

CommandResult run_command(const CommandOptions& options) {
  auto running = Running::start(options);
  if (!running) return running.error();
  const base::Time until = now() + options.timeout;
  bool open = true;
  for (;;) {
    std::array<pollfd, 2> polled{{{(*running)->pidfd(), POLLIN, 0}, {open ? (*running)->out() : -1, POLLIN, 0}}};
    const int n = ::poll(polled.data(), polled.size(), milliseconds_until(until));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return (*running)->late();
    if (polled[1].revents != 0) open = (*running)->read_output();
    if (polled[0].revents != 0) return (*running)->result();
  }
}

struct Command::State {
  EventLoop& loop;
  std::function<void(CommandResult)> done;
  std::unique_ptr<Running> running;
  EventLoop::Id out = 0;
  EventLoop::Id end = 0;
  EventLoop::Id timer = 0;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);

  void stop() {
    loop.remove(out);
    loop.remove(end);
    loop.cancel(timer);
  }
  void finish(CommandResult result) {
    stop();
    running.reset();
    const auto told = std::exchange(done, nullptr);
    told(std::move(result));  // May destroy us.
  }
};

Command::Command(EventLoop& loop, const CommandOptions& options, std::function<void(CommandResult)> done)
    : state_(new State{.loop = loop, .done = std::move(done)}) {
  State* const s = state_.get();
  auto running = Running::start(options);
  if (!running) {
    loop.post([s, alive = s->alive, error = running.error()] {
      if (*alive) s->finish(error);
    });
    return;
  }
  s->running = std::move(*running);
  s->out = loop.watch(s->running->out(), EPOLLIN, [s](std::uint32_t) {
    if (!s->running->read_output()) s->loop.remove(s->out);
  });
  s->end = loop.watch(s->running->pidfd(), EPOLLIN, [s](std::uint32_t) { s->finish(s->running->result()); });
  s->timer = loop.after(options.timeout, [s] { s->finish(s->running->late()); });
}

Command::~Command() {
  *state_->alive = false;
  state_->stop();
}

}  // namespace mobula::os

#include "core/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "core/os/end_signals.h"
#include "core/os/event_loop.h"
#include "core/os/signal_pipe.h"

namespace mobula::os {
namespace {

using base::Code;
using namespace std::chrono_literals;

constexpr int kDeadlineMs = 10'000;

// This program in one of its other roles; see main().
SpawnOptions role(std::vector<std::string> arguments) {
  SpawnOptions options;
  options.path = "/proc/self/exe";
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), "process_test");
  options.env = environment();
  return options;
}

struct Pipe {
  Fd read;
  Fd write;
  Pipe() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    read = Fd(fds[0]);
    write = Fd(fds[1]);
  }
  // Everything until all writers are gone.
  std::string drain() {
    write.reset();
    std::string out;
    std::array<char, 4096> part;
    pollfd wait{read.get(), POLLIN, 0};
    while (::poll(&wait, 1, kDeadlineMs) == 1) {
      const ssize_t n = ::read(read.get(), part.data(), part.size());
      if (n <= 0) break;
      out.append(part.data(), static_cast<std::size_t>(n));
    }
    return out;
  }
};

ExitStatus run(const SpawnOptions& options) {
  const auto pid = spawn(options);
  EXPECT_TRUE(pid) << pid.error().what;
  return pid ? wait_for(*pid) : ExitStatus{};
}

TEST(Spawn, ReportsExitCodesAndSignals) {
  EXPECT_TRUE(run(role({"exit", "0"})).ok());
  EXPECT_EQ(run(role({"exit", "3"})).to_string(), "exit code 3");
  EXPECT_EQ(run(role({"raise", "9"})).to_string(), "signal 9 (SIGKILL)");
  EXPECT_EQ(run(role({"raise", "11"})).to_string(), "signal 11 (SIGSEGV)");
}

TEST(Spawn, SaysWhyAProgramCouldNotBeStarted) {
  auto options = role({});
  options.path = "/none/such";
  const auto missing = spawn(options);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_NE(missing.error().what.find("/none/such"), std::string::npos);
  options = role({"exit", "0"});
  options.cwd = "/none/such";
  EXPECT_FALSE(spawn(options));
  options = role({"exit", "0"});
  options.fds = {{9999, 3}};
  EXPECT_FALSE(spawn(options));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a failed start left a child behind";
}

TEST(Spawn, ClosesEveryDescriptorThatIsNotNamed) {
  Pipe pipe;
  const Fd leaked(::fcntl(pipe.write.get(), F_DUPFD, 50));  // Without close-on-exec.
  auto options = role({"list_fds"});
  options.fds = {{pipe.write.get(), 1}, {leaked.get(), 7}};
  const auto pid = spawn(options);
  ASSERT_TRUE(pid) << pid.error().what;
  Fd(leaked.get()).reset();
  EXPECT_EQ(pipe.drain(), "0 1 2 7 ");
  EXPECT_TRUE(wait_for(*pid).ok());
}

TEST(Spawn, PlacesDescriptorsWhoseNumbersCross) {
  Pipe a;
  Pipe b;
  const int x = a.write.get();
  const int y = b.write.get();
  auto options = role({"write_fds", std::to_string(x), "for x", std::to_string(y), "for y"});
  options.fds = {{x, y}, {y, x}};
  EXPECT_TRUE(run(options).ok());
  EXPECT_EQ(a.drain(), "for y");
  EXPECT_EQ(b.drain(), "for x");
}

TEST(Spawn, GivesExactlyTheEnvironmentAndDirectoryAskedFor) {
  Pipe pipe;
  auto options = role({"print_environment"});
  options.env = {"A=1", "B=two words"};
  options.cwd = "/usr";
  options.fds = {{pipe.write.get(), 1}};
  EXPECT_TRUE(run(options).ok());
  EXPECT_EQ(pipe.drain(), "/usr\nA=1\nB=two words\n");
}

TEST(Spawn, MakesAProcessGroupAndUnblocksSignals) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  auto options = role({"wait"});
  options.fds = {{pipe.write.get(), 1}};
  const auto pid = spawn(options);
  ASSERT_TRUE(pid);
  EXPECT_EQ(::getpgid(*pid), *pid);
  EXPECT_TRUE(process_exists(*pid));
  EXPECT_FALSE(reap(*pid));
  ::kill(-*pid, SIGTERM);
  EXPECT_EQ(wait_for(*pid).to_string(), "signal 15 (SIGTERM)");
  EXPECT_FALSE(process_exists(*pid));
  EXPECT_EQ(run(role({"raise", "13"})).to_string(), "signal 13 (SIGPIPE)");
  ::signal(SIGPIPE, SIG_DFL);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// With another thread, which has not blocked it.
TEST(SignalPipe, HoldsASignalForWhoeverReadsItAndGivesItBack) {
  std::thread other;
  int read = 0;
  {
    SignalPipe pipe({SIGUSR1, SIGUSR2}, SignalPipe::Take::kOnlyDefault);
    ASSERT_TRUE(pipe.valid());
    other = std::thread([&pipe] {
      pollfd polled{pipe.fd(), POLLIN, 0};
      ::poll(&polled, 1, kDeadlineMs);
    });
    EXPECT_FALSE(SignalPipe({SIGHUP}, SignalPipe::Take::kAll).valid());
    ::kill(::getpid(), SIGUSR1);
    pollfd polled{pipe.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&polled, 1, kDeadlineMs), 1);
    read = pipe.take().value_or(-1);
    EXPECT_EQ(pipe.take(), std::nullopt);
    other.join();
  }
  EXPECT_EQ(read, SIGUSR1);
  struct sigaction after {};
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(after.sa_handler, SIG_DFL);
}

TEST(Spawn, HoldsTheSignalsThatEndAChildUntilItTakesThem) {
  Pipe out;
  SpawnOptions options = role({"held"});
  options.fds = {{out.write.get(), 1}};
  options.hold_end_signals = true;
  const auto pid = spawn(options);
  ASSERT_TRUE(pid) << pid.error().what;
  ::kill(*pid, SIGTERM);
  EXPECT_EQ(out.drain(), "taken 15");
  EXPECT_EQ(wait_for(*pid).to_string(), "exit code 0");
}

TEST(Spawn, RunsFromSeveralThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 10; ++i) EXPECT_EQ(run(role({"exit", std::to_string(t)})).code, t);
    });
  }
  for (auto& thread : threads) thread.join();
}

// The middle process starts a grandchild that holds the pipe, and is then killed; the pipe's end shows the
// grandchild's death.
TEST(Spawn, ChildrenDieWithTheirParent) {
  Pipe pipe;
  auto options = role({"parent_of_waiter"});
  options.fds = {{pipe.write.get(), 1}};
  const auto middle = spawn(options);
  ASSERT_TRUE(middle);
  std::array<char, 32> text{};
  pollfd wait{pipe.read.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, kDeadlineMs), 1);
  ASSERT_GT(::read(pipe.read.get(), text.data(), text.size() - 1), 0);
  const auto grandchild = static_cast<pid_t>(std::stol(text.data()));
  const Fd pidfd = open_pidfd(grandchild);
  ASSERT_TRUE(pidfd.valid());
  ::kill(*middle, SIGKILL);
  EXPECT_EQ(wait_for(*middle).code, SIGKILL);
  pollfd gone{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&gone, 1, kDeadlineMs), 1);
  EXPECT_EQ(pipe.drain(), "");
}

TEST(DieWithParent, EndsAChildWhoseParentIsGoneAlready) {
  const pid_t child = ::fork();
  if (child == 0) {
    die_with_parent(::getppid() + 1);  // As if another had been our parent.
    ::_exit(0);
  }
  EXPECT_EQ(wait_for(child).code, 1);
}

TEST(Pidfd, IsReadableOnceTheProcessHasEnded) {
  const auto pid = spawn(role({"exit", "0"}));
  ASSERT_TRUE(pid);
  const Fd pidfd = open_pidfd(*pid);
  ASSERT_TRUE(pidfd.valid());
  pollfd wait{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, kDeadlineMs), 1);
  EXPECT_TRUE(reap(*pid)->ok());
  EXPECT_FALSE(open_pidfd(*pid).valid());
}

TEST(Reap, DoesNotWaitForEverForAChildThatIsNotOurs) {
  EXPECT_EQ(reap(1)->to_string(), "unknown exit status");
  EXPECT_FALSE(reap(1)->ok());
}

TEST(BuildId, IsTheSameForTheRunningProgramAndItsFile) {
  const std::string id = self_build_id();
  EXPECT_EQ(id.size(), 40u);
  EXPECT_EQ(file_build_id(self_exe()), id);
  EXPECT_NE(file_build_id("/bin/sh"), id);
}

TEST(BuildId, IsEmptyForWhatIsNoProgram) {
  EXPECT_EQ(file_build_id("/none/such"), "");
  EXPECT_EQ(file_build_id("/proc/self/cmdline"), "");
  EXPECT_EQ(file_build_id("/etc/hostname"), "");
}

TEST(BuildId, DoesNotTrustTheHeadersOfAFile) {
  std::ifstream file(self_exe(), std::ios::binary);
  std::string head(4096, 0);
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const auto path = std::filesystem::temp_directory_path() / ("mobula-elf-" + std::to_string(::getpid()));
  for (std::size_t at = 32; at < 600; ++at) {  // Offsets, counts and the program headers.
    std::string bad = head;
    bad[at] = '\xff';
    std::ofstream(path, std::ios::binary) << bad;
    file_build_id(path);
  }
  std::filesystem::remove(path);
}

TEST(Process, CarriesTheNameItIsGiven) {
  std::thread named([] {
    set_process_name("a name that is too long");
    std::ifstream comm("/proc/thread-self/comm");
    std::string name;
    std::getline(comm, name);
    EXPECT_EQ(name, "a name that is ");
  });
  named.join();
}

int list_fds() {
  std::string out;
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) out += std::to_string(fd) + " ";
  }
  return ::write(1, out.data(), out.size()) == static_cast<ssize_t>(out.size()) ? 0 : 1;
}

int write_fds(int argc, char** argv) {
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::size_t n = std::strlen(argv[i + 1]);
    if (::write(std::stoi(argv[i]), argv[i + 1], n) != static_cast<ssize_t>(n)) return 1;
  }
  return 0;
}

int print_environment() {
  std::string out = std::filesystem::current_path().string() + "\n";
  for (const auto& entry : environment()) out += entry + "\n";
  return ::write(1, out.data(), out.size()) == static_cast<ssize_t>(out.size()) ? 0 : 1;
}

int parent_of_waiter() {
  auto options = role({"wait"});
  options.fds = {{1, 1}};
  const auto pid = spawn(options);
  if (!pid) return 1;
  const std::string text = std::to_string(*pid);
  if (::write(1, text.data(), text.size()) < 0) return 1;
  for (;;) ::pause();
}

int take_held_signal() {
  EndSignals signals(EndSignals::Owner::kNobody);
  pollfd polled{signals.fd(), POLLIN, 0};
  ::poll(&polled, 1, kDeadlineMs);
  ::dprintf(1, "taken %d", signals.take().value_or(0));
  return 0;
}

int run_role(int argc, char** argv) {
  const std::string name = argv[1];
  const int number = argc > 2 ? std::atoi(argv[2]) : 0;
  if (name == "exit") return number;
  if (name == "raise") {
    ::signal(SIGSEGV, SIG_DFL);  // A sanitizer would turn it into an exit code.
    ::raise(number);
  }
  if (name == "list_fds") return list_fds();
  if (name == "write_fds") return write_fds(argc, argv);
  if (name == "print_environment") return print_environment();
  if (name == "parent_of_waiter") return parent_of_waiter();
  if (name == "held") return take_held_signal();
  if (name == "wait") {
    for (;;) ::pause();
  }
  return 99;
}

}  // namespace
}  // namespace mobula::os

int main(int argc, char** argv) {
  if (argc > 1 && argv[1][0] != '-') return mobula::os::run_role(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

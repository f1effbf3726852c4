#include "tests/e2e/gate.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;

template <class Condition>
bool poll(Condition&& condition, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

bool make(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

}  // namespace

Gate::Gate() {
  const char* parent = std::getenv("MOBULA_TMPDIR");
  path_ = std::string(parent != nullptr ? parent : "/tmp") + "/gate-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) std::abort();
}

Gate::~Gate() {
  open();
  // Renamed first: a task that notes its coming now must not put a file into what is being removed.
  std::error_code ignored;
  fs::rename(path_, path_ + ".gone", ignored);
  fs::remove_all(path_ + ".gone", ignored);
}

void Gate::open() const { make(path_ + "/open"); }

std::size_t Gate::entered() const {
  std::size_t n = 0;
  while (fs::exists(path_ + "/" + std::to_string(n))) ++n;
  return n;
}

bool Gate::wait_entered(std::size_t n, std::chrono::milliseconds patience) const {
  return poll([&] { return entered() >= n; }, patience);
}

std::size_t note(const std::string& gate) {
  std::size_t n = 0;
  while (fs::exists(gate) && !make(gate + "/" + std::to_string(n))) ++n;
  return n;
}

bool enter(const std::string& gate) {
  note(gate);
  return poll([&] { return fs::exists(gate + "/open") || !fs::exists(gate); }, kSoon);
}

}  // namespace mobula::testing

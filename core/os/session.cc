#include "core/os/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <utility>

#include "core/os/error.h"
#include "core/os/random.h"
#include "core/os/socket.h"

namespace mobula::os {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t kLabelBytesMax = 40;  // A socket's path has 107.
constexpr const char* kLifeFile = "life";
constexpr std::time_t kSocketAgeMinS = 5;
constexpr std::time_t kHuskAgeMinS = 600;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::string describe(const std::string& path, const struct stat& info) {
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(info.st_mode & 07777));
  return path + " (owner uid " + std::to_string(info.st_uid) + ", mode " + mode.data() + ")";
}

bool is_ours(const struct stat& info) { return info.st_uid == ::geteuid(); }

// Somebody else could put another directory in place of ours where all may write and nothing is sticky.
Result<void> check_parent(const std::string& path) {
  const auto slash = path.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct stat info {};
  if (::stat(parent.c_str(), &info) != 0) {
    Error error = error_from_errno(errno, parent + ", where the sessions' directory belongs");
    error.what += "; make it, or set MOBULA_TMPDIR to a directory in one that is there";
    return error;
  }
  const bool open_to_all = (info.st_mode & S_IWOTH) != 0 && (info.st_mode & S_ISVTX) == 0;
  if (open_to_all) return Error{Code::kDenied, "everybody may rename what is in " + describe(parent, info)};
  if (!is_ours(info) && info.st_uid != 0) {
    return Error{Code::kDenied, "the parent belongs to somebody else: " + describe(parent, info)};
  }
  return {};
}

// `forbidden`: permission bits that must not be set.
Result<Fd> open_ours(const std::string& path, mode_t forbidden) {
  Fd fd(::open(path.c_str(), kDirectory));
  if (!fd.valid() && (errno == ELOOP || errno == ENOTDIR)) {
    return Error{Code::kDenied, path + " is not a directory of its own (a symbolic link or a file)"};
  }
  if (!fd.valid()) return error_from_errno(errno, path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return error_from_errno(errno, path);
  if (!is_ours(info)) {
    return Error{Code::kDenied, describe(path, info) + " belongs to somebody else; remove it or set MOBULA_TMPDIR"};
  }
  if ((info.st_mode & forbidden) != 0) {
    return Error{Code::kDenied, describe(path, info) + " is open to others; chmod 700 it or set MOBULA_TMPDIR"};
  }
  return fd;
}

// By errno.
Error cannot_make(const std::string& path) {
  Error error = error_from_errno(errno, "making the session's directory " + path);
  error.what += "; make room there, or set MOBULA_TMPDIR to a place that can be written";
  return error;
}

Result<Fd> make_root(const std::string& root) {
  if (auto parent = check_parent(root); !parent) return parent.error();
  if (::mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) return cannot_make(root);
  return open_ours(root, S_IWGRP | S_IWOTH);
}

// What is no letter, digit, dot or dash goes.
std::string in_a_name(const std::string& label) {
  std::string out;
  for (const char c : label.substr(0, kLabelBytesMax)) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.';
    out += plain ? c : '-';
  }
  return out;
}

std::string fresh_name(const std::string& label) {
  std::array<unsigned char, 4> bytes;
  fill_random(bytes.data(), bytes.size());
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "s-%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3]);
  return label.empty() ? name.data() : "s-" + in_a_name(label) + (name.data() + 1);
}

// A socket on which nobody listens any more.  One that was just made may not listen yet.
bool is_dead_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  return std::time(nullptr) - info.st_ctim.tv_sec >= kSocketAgeMinS && !connect_unix(path);
}

// A session of old that has nothing, or only sockets on which nobody listens.  One of `mobula start` has logs.
bool is_husk(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || !is_ours(info)) return false;
  if (std::time(nullptr) - info.st_mtim.tv_sec < kHuskAgeMinS) return false;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(path.c_str()), ::closedir);
  if (!stream) return false;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && !is_dead_socket(path + "/" + name)) return false;
  }
  return true;
}

// What was left when every process of a cluster was killed at once.
std::size_t sweep(const std::string& root, int root_fd) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(root.c_str()), ::closedir);
  std::size_t removed = 0;
  if (!stream) return removed;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name.compare(0, 5, "meet-") == 0 && is_dead_socket(root + "/" + name)) {
      ::unlinkat(root_fd, name.c_str(), 0);
      ++removed;
    }
    if (name.compare(0, 2, "s-") != 0) continue;
    const Fd life(::openat(root_fd, (name + "/" + kLifeFile).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    const bool is_left = life.valid() ? ::flock(life.get(), LOCK_EX | LOCK_NB) == 0 : is_husk(root + "/" + name);
    if (!is_left) continue;
    remove_tree(root + "/" + name);
    ++removed;
  }
  return removed;
}

bool is_directory_of_ours(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && is_ours(info);
}

// Empties the directory, and never leaves its device: what is mounted below stays.
void empty_directory(Fd directory, dev_t device) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(directory.get()), ::closedir);
  if (!stream) return;
  const int fd = directory.release();  // Now the stream's.
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(fd, name.c_str(), 0) == 0) continue;
    Fd below(::openat(fd, name.c_str(), kDirectory));
    struct stat info {};
    if (!below.valid() || ::fstat(below.get(), &info) != 0 || info.st_dev != device) continue;
    empty_directory(std::move(below), device);
    ::unlinkat(fd, name.c_str(), AT_REMOVEDIR);
  }
}

}  // namespace

std::string sessions_root() {
  const auto from_environment = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody calls setenv.
    std::string path = value == nullptr ? "" : value;
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
  };
  if (auto path = from_environment("MOBULA_TMPDIR"); !path.empty()) return path;
  // A launcher hands the variable to hosts where the directory was never made, and sudo to other users.
  if (auto path = from_environment("XDG_RUNTIME_DIR"); is_directory_of_ours(path)) return path + "/mobula";
  return "/tmp/mobula-" + std::to_string(::geteuid());
}

Result<void> prepare_sessions_root() {
  const std::string root = sessions_root();
  const auto fd = make_root(root);
  if (!fd) return fd.error();
  sweep(root, fd->get());
  return {};
}

Result<std::size_t> sweep_sessions(const std::string& root) {
  const auto fd = open_ours(root, S_IWGRP | S_IWOTH);
  if (!fd) return fd.error();
  return sweep(root, fd->get());
}

Result<SessionDirectory> SessionDirectory::create(Lifetime lifetime, const std::string& label) {
  const std::string root = sessions_root();
  auto root_fd = make_root(root);
  if (!root_fd) return root_fd.error();
  sweep(root, root_fd->get());
  for (;;) {
    const std::string name = fresh_name(label);
    if (::mkdirat(root_fd->get(), name.c_str(), 0700) == 0) {
      // The umask may have taken bits away, and only those.
      ::fchmodat(root_fd->get(), name.c_str(), 0700, 0);
      SessionDirectory session(root + "/" + name, lifetime);
      if (lifetime == Lifetime::kKeep || session.hold()) return session;
      session.lifetime_ = Lifetime::kKeep;
      continue;  // Taken for one that was left, before it could be held.
    }
    if (errno != EEXIST) return cannot_make(root + "/" + name);
  }
}

Result<SessionDirectory> SessionDirectory::open(const std::string& path) {
  auto fd = open_ours(path, S_IRWXG | S_IRWXO);
  if (!fd) return fd.error();
  SessionDirectory session(path, Lifetime::kKeep);
  session.life_ = Fd(::open(session.file(kLifeFile).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (session.life_.valid()) ::flock(session.life_.get(), LOCK_SH);
  return session;
}

bool SessionDirectory::hold() {
  life_ = Fd(::open(file(kLifeFile).c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat info {};
  return life_.valid() && ::flock(life_.get(), LOCK_SH) == 0 && ::fstat(life_.get(), &info) == 0 && info.st_nlink != 0;
}

SessionDirectory::SessionDirectory(std::string path, Lifetime lifetime)
    : path_(std::move(path)), lifetime_(lifetime), maker_(::getpid()) {}

SessionDirectory::SessionDirectory(SessionDirectory&& other) noexcept
    : path_(std::move(other.path_)),
      lifetime_(std::exchange(other.lifetime_, Lifetime::kKeep)),
      maker_(other.maker_),
      life_(std::move(other.life_)) {}

SessionDirectory::~SessionDirectory() {
  // A forked child that runs destructors must not take the directory from its parent.
  if (lifetime_ == Lifetime::kRemove && maker_ == ::getpid()) remove_tree(path_);
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

void keep_logs_only(const std::string& session) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(session.c_str()), ::closedir);
  if (!stream) return;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name == kSessionLogs || name == kSessionDescription) continue;
    remove_tree(session + "/" + name);
  }
}

void remove_tree(const std::string& path) {
  Fd fd(::open(path.c_str(), kDirectory));
  struct stat info {};
  if (fd.valid() && ::fstat(fd.get(), &info) == 0) {
    empty_directory(std::move(fd), info.st_dev);
    ::rmdir(path.c_str());
  } else {
    ::unlink(path.c_str());
  }
}

}  // namespace mobula::os

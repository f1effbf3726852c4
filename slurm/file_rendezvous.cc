#include "slurm/file_rendezvous.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "core/os/error.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/os/session.h"
#include "slurm/name_hash.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t kFileBytesMax = 16 * 1024;
constexpr auto kPauseMin = std::chrono::milliseconds(5);
constexpr auto kPauseMax = std::chrono::milliseconds(100);

// f_type of statfs(2): NFS, Lustre, GPFS, BeeGFS, Ceph, FUSE, 9P, AFS, CIFS, SMB2, OrangeFS, PanFS, CODA.
constexpr std::array<unsigned long, 13> kSharedKinds{0x6969,     0x0BD00BD0, 0x47504653, 0x19830326, 0x00C36400,
                                                     0x65735546, 0x01021997, 0x5346414F, 0xFF534D42, 0xFE534D42,
                                                     0x20030528, 0xAAD7AAEA, 0x73757245};

class FileRendezvous final : public Rendezvous {
 public:
  FileRendezvous(std::string directory, const std::string& start)
      : directory_(std::move(directory)), path_(directory_ + "/start-" + name_hash_hex(start)), start_(start) {}
  ~FileRendezvous() override {
    if (published_) ::unlink(path_.c_str());
  }

  std::string name() const override { return "file"; }

  // Written aside and renamed: readers see all of it or nothing.
  Result<void> publish(const Invitation& invitation, base::Time) override {
    const std::string aside = path_ + ".new";
    ::unlink(aside.c_str());
    const os::Fd file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file.valid()) return os::error_from_errno(errno, aside);
    std::string bytes = encode(invitation);
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    const bool whole = written == static_cast<ssize_t>(bytes.size()) && ::fsync(file.get()) == 0;
    wipe(bytes);
    if (!whole || ::rename(aside.c_str(), path_.c_str()) != 0) {
      const int error = errno;
      ::unlink(aside.c_str());
      return os::error_from_errno(error, "writing " + path_);
    }
    published_ = true;
    return {};
  }

  Result<Invitation> fetch(base::Time deadline) override {
    auto pause = std::chrono::duration_cast<base::Duration>(kPauseMin);
    for (;;) {
      auto found = read();
      // One that an earlier start of the same name left is not ours; ours replaces it.
      if (found && found->start == start_) return found;
      if (!found && found.error().code == Code::kDenied) return found;
      if (os::now() + pause >= deadline) {
        return Error{Code::kDeadline,
                     "rank 0 has written no " + path_ + ": is " + directory_ + " the same directory on every node?"};
      }
      std::this_thread::sleep_for(pause);
      pause = std::min<base::Duration>(2 * pause, kPauseMax);
    }
  }

 private:
  Result<Invitation> read() const {
    // A network file system looks again when the directory is opened, and else may say for seconds that nothing is
    // there.
    if (DIR* const looked = ::opendir(directory_.c_str())) ::closedir(looked);
    const os::Fd file(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file.valid()) return os::error_from_errno(errno == ELOOP ? EPERM : ENOENT, path_);
    struct stat info {};
    if (::fstat(file.get(), &info) != 0) return os::error_from_errno(errno, path_);
    if (!S_ISREG(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      return Error{Code::kDenied, path_ + " is not a file of this user alone"};
    }
    std::string bytes(kFileBytesMax, '\0');
    const ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
    if (size < 0) return os::error_from_errno(errno, path_);
    bytes.resize(static_cast<std::size_t>(size));
    auto out = decode_invitation(bytes);
    wipe(bytes);
    return out;
  }

  const std::string directory_;
  const std::string path_;
  const std::string start_;
  bool published_ = false;
};

}  // namespace

Result<std::unique_ptr<Rendezvous>> make_file_rendezvous(const std::string& directory, const std::string& start) {
  if (directory.empty() || directory.front() != '/')
    return Error{Code::kInvalid, "\"" + directory + "\" is not the path of a directory"};
  ::mkdir(directory.c_str(), 0700);
  const auto checked = os::SessionDirectory::open(directory);  // Ours alone, and no link.
  if (!checked) return checked.error();
  return std::unique_ptr<Rendezvous>(std::make_unique<FileRendezvous>(directory, start));
}

bool is_on_shared_file_system(const std::string& directory) {
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0) return false;
  const auto kind = static_cast<unsigned long>(info.f_type) & 0xffff'ffff;
  return std::find(kSharedKinds.begin(), kSharedKinds.end(), kind) != kSharedKinds.end();
}

}  // namespace mobula::slurm

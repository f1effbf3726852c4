#include "core/raylet/program_digest.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "core/os/digest.h"
#include "core/os/error.h"

namespace mobula::raylet {
namespace {

constexpr std::size_t kPieceBytes = 1u << 20;

struct Work {
  os::EventLoop& loop;
  int fd;
  std::uint64_t bytes;
  std::weak_ptr<void> wanted;
  std::function<void(base::Result<std::string>)> done;
  std::uint64_t at = 0;
  os::Digest digest;
  std::vector<std::byte> piece = std::vector<std::byte>(kPieceBytes);
};

void turn(const std::shared_ptr<Work>& work) {
  if (work->wanted.expired()) return;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, work->bytes - work->at));
  const ssize_t n = ::pread(work->fd, work->piece.data(), size, static_cast<off_t>(work->at));
  if (n < 0 && errno != EINTR) return work->done(os::error_from_errno(errno, "reading a program"));
  if (n == 0 && size != 0) return work->done(base::Error{base::Code::kLost, "the program became shorter meanwhile"});
  if (n > 0) {
    work->digest.add({work->piece.data(), static_cast<std::size_t>(n)});
    work->at += static_cast<std::uint64_t>(n);
  }
  if (work->at == work->bytes) return work->done(work->digest.finish());
  work->loop.post([work] { turn(work); });
}

}  // namespace

void digest_file(os::EventLoop& loop, int fd, std::uint64_t bytes, std::weak_ptr<void> wanted,
                 std::function<void(base::Result<std::string>)> done) {
  const auto work = std::shared_ptr<Work>(new Work{loop, fd, bytes, std::move(wanted), std::move(done), 0, {}});
  loop.post([work] { turn(work); });
}

}  // namespace mobula::raylet

#include "slurm/local_meeting.h"

#include <poll.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <utility>

#include "core/base/bytes.h"
#include "core/os/event_loop.h"
#include "core/os/socket.h"
#include "slurm/framed.h"
#include "slurm/name_hash.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::size_t kCpusMax = 4000;
constexpr auto kShareTime = std::chrono::seconds(2);
constexpr auto kPause = std::chrono::milliseconds(2);

std::string path_of(const std::string& directory, const std::string& name) {
  return directory + "/meet-" + name_hash_hex(name);
}

Result<void> check_user(const os::Fd& socket) {
  const auto peer = os::peer_credentials(socket);
  if (!peer) return peer.error();
  if (peer->uid != ::geteuid()) return Error{Code::kDenied, "a process of user " + std::to_string(peer->uid)};
  return {};
}

}  // namespace

std::string encode(const Share& share) {
  base::Buffer out;
  out.put(share.local_rank);
  out.put(static_cast<std::uint32_t>(share.cpus.size()));
  for (const std::uint32_t cpu : share.cpus) out.put(cpu);
  out.put_string(share.gpus);
  return std::string(base::as_string_view(out.view()));
}

Result<Share> decode_share(const std::string& bytes) {
  base::Cursor in(base::as_bytes(bytes));
  Share out;
  out.local_rank = in.get<std::uint32_t>();
  const auto count = in.get<std::uint32_t>();
  if (count > kCpusMax) in.fail();
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) out.cpus.push_back(in.get<std::uint32_t>());
  out.gpus = in.get_string();
  if (!in.ok() || in.left() != 0) return Error{Code::kInvalid, "not a task's share"};
  return out;
}

Result<std::unique_ptr<LocalMeeting>> LocalMeeting::open(const std::string& directory, const std::string& name) {
  const std::string path = path_of(directory, name);
  ::unlink(path.c_str());  // Of a leader that was killed: nobody else may use the name.
  auto listener = os::listen_unix(path);
  if (!listener) return listener.error();
  return std::unique_ptr<LocalMeeting>(new LocalMeeting(path, std::move(*listener)));
}

LocalMeeting::~LocalMeeting() { ::unlink(path_.c_str()); }

Result<std::vector<Share>> LocalMeeting::gather(std::uint32_t local_size, base::Time deadline) {
  std::vector<Share> out;
  std::set<std::uint32_t> missing;
  for (std::uint32_t i = 1; i < local_size; ++i) missing.insert(i);
  while (!missing.empty()) {
    auto guest = os::accept(listener_);
    if (!guest) {
      if (guest.error().code != Code::kUnavailable) return guest.error();
      if (await(listener_, POLLIN, deadline)) continue;
      std::string names;
      for (const std::uint32_t rank : missing) names += (names.empty() ? "" : ", ") + std::to_string(rank);
      return Error{Code::kDeadline, "of this node's " + std::to_string(local_size) +
                                        " tasks, those with these local ranks did not come: " + names};
    }
    if (!check_user(*guest)) continue;
    const auto bytes = receive_framed(*guest, std::min<base::Time>(deadline, os::now() + kShareTime));
    auto share = bytes ? decode_share(*bytes) : Result<Share>(bytes.error());
    if (!share || !missing.contains(share->local_rank) || !send_framed(*guest, {}, deadline)) continue;
    missing.erase(share->local_rank);
    out.push_back(std::move(*share));
    guests_.push_back(std::move(*guest));
  }
  return out;
}

void LocalMeeting::answer(const std::string& bytes) {
  for (const os::Fd& guest : guests_) (void)send_framed(guest, base::as_bytes(bytes), os::now() + kShareTime);
}

Result<os::Fd> LocalMeeting::attend(const std::string& directory, const std::string& name, const Share& share,
                                    base::Time deadline) {
  for (;;) {
    auto socket = os::connect_unix(path_of(directory, name));
    const auto known = socket ? check_user(*socket) : Result<void>(socket.error());
    const auto sent = known ? send_framed(*socket, base::as_bytes(encode(share)), deadline) : known;
    const auto taken = sent ? receive_framed(*socket, deadline) : Result<std::string>(sent.error());
    if (taken) return std::move(*socket);
    // What a leader that was killed has left may have been there: the next one is at the same place.
    if (os::now() + kPause >= deadline) {
      return Error{Code::kDeadline, "the first task of this node does not answer: " + taken.error().what};
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace mobula::slurm

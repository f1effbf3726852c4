#include "slurm/munge_server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "core/os/event_loop.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/socket.h"
#include "slurm/framed.h"
#include "slurm/invitation.h"
#include "slurm/munge_exchange.h"

namespace mobula::slurm {
namespace {

constexpr std::size_t kConnectionsMax = 256;
constexpr auto kQuestionTime = std::chrono::seconds(2);
constexpr int kLookMs = 200;

}  // namespace

MungeServer::MungeServer(const Munge& munge, os::Fd listener, std::string start, std::string invitation)
    : munge_(munge), listener_(std::move(listener)), start_(std::move(start)), invitation_(std::move(invitation)) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) == 0) {
    stop_read_ = os::Fd(ends[0]);
    stop_write_ = os::Fd(ends[1]);
  }
  thread_ = std::thread([this] {
    os::set_process_name("rendezvous");
    run();
  });
}

MungeServer::~MungeServer() {
  stop_write_.reset();
  thread_.join();
  wipe(invitation_);
}

void MungeServer::run() {
  for (;;) {
    std::vector<pollfd> polled{{stop_read_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const auto& connection : connections_) polled.push_back({connection.socket.get(), POLLIN, 0});
    if (::poll(polled.data(), polled.size(), connections_.empty() ? -1 : kLookMs) < 0) continue;
    if (polled[0].revents != 0) return;
    std::size_t i = 2;
    for (auto it = connections_.begin(); it != connections_.end(); ++i) {
      const bool stays = polled[i].revents == 0 || serve(*it);
      it = stays && os::now() < it->until ? std::next(it) : connections_.erase(it);
    }
    if (polled[1].revents != 0) accept_all();
  }
}

void MungeServer::accept_all() {
  for (;;) {
    auto socket = os::accept(listener_);
    if (!socket) return;
    if (connections_.size() >= kConnectionsMax) connections_.pop_front();
    connections_.push_back({std::move(*socket), {}, os::now() + kQuestionTime});
  }
}

bool MungeServer::serve(Connection& connection) {
  std::array<std::byte, 4096> buffer;
  const auto got = os::receive_some(connection.socket, buffer);
  if (!got) return got.error().code == base::Code::kUnavailable;
  if (*got == 0) return false;
  std::string& received = connection.received;
  received.append(reinterpret_cast<const char*>(buffer.data()), *got);
  std::uint32_t size = 0;
  if (received.size() < sizeof size) return true;
  std::memcpy(&size, received.data(), sizeof size);
  if (size > kFrameBytesMax) return false;
  if (received.size() < sizeof size + size) return true;
  answer(connection, std::string_view(received).substr(sizeof size, size));
  return false;
}

void MungeServer::answer(const Connection& connection, std::string_view credential) const {
  const auto question = munge_.unseal(std::string(credential));
  const JoinScope scope{.uid = ::geteuid(), .start = start_};
  const auto welcome =
      question ? answer_join(*question, scope, invitation_) : base::Result<std::string>(question.error());
  if (!welcome) {
    os::log(os::LogLevel::kInfo, "rendezvous: turned away: {}", welcome.error().what);
    return;
  }
  const auto sealed = munge_.seal(*welcome);
  if (!sealed) return os::log(os::LogLevel::kError, "rendezvous: {}", sealed.error().what);
  (void)send_framed(connection.socket, base::as_bytes(*sealed), connection.until);
}

}  // namespace mobula::slurm

#include "slurm/munge_rendezvous.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <list>
#include <thread>
#include <utility>

#include "core/os/event_loop.h"
#include "core/os/socket.h"
#include "slurm/framed.h"
#include "slurm/munge_exchange.h"
#include "slurm/munge_server.h"
#include "slurm/name_hash.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

// Above the ports that services have, below those that the kernel gives out.
constexpr std::uint16_t kFirstPort = 20'000;
constexpr std::uint64_t kPortGroups = 768;
constexpr auto kAnswerTime = std::chrono::seconds(2);
constexpr auto kConnectTime = std::chrono::milliseconds(300);
constexpr auto kPauseMin = std::chrono::milliseconds(2);
constexpr auto kPauseMax = std::chrono::milliseconds(100);

class MungeRendezvous final : public Rendezvous {
 public:
  MungeRendezvous(std::unique_ptr<Munge> munge, MungeRendezvousOptions options)
      : munge_(std::move(munge)), options_(std::move(options)) {}

  std::string name() const override { return "munge"; }

  Result<void> publish(const Invitation& invitation, base::Time) override {
    std::string why;
    for (const std::uint16_t port : rendezvous_ports(options_.start)) {
      auto listener = os::listen_tcp(options_.listen, port);
      if (listener) {
        server_ = std::make_unique<MungeServer>(*munge_, std::move(*listener), options_.start, encode(invitation));
        return {};
      }
      why = listener.error().what;
    }
    return Error{Code::kUnavailable, "none of the 16 ports of this start can be listened on: " + why};
  }

  Result<Invitation> fetch(base::Time deadline) override {
    auto pause = std::chrono::duration_cast<base::Duration>(kPauseMin);
    for (;;) {
      auto found = try_all(deadline);
      if (found || found.error().code == Code::kDenied) return found;
      if (os::now() + pause >= deadline) {
        return Error{Code::kDeadline, "rank 0 was not found on ports " +
                                          std::to_string(rendezvous_ports(options_.start).front()) + " to " +
                                          std::to_string(rendezvous_ports(options_.start).back()) + " of " +
                                          join_names() + " (" + found.error().what + ")"};
      }
      std::this_thread::sleep_for(pause);
      pause = std::min<base::Duration>(2 * pause, kPauseMax);
    }
  }

 private:
  struct Attempt {
    os::Fd socket;
    std::unique_ptr<JoinQuestion> question;  // Once it is connected and asked.
  };

  // Connects to everything at once and asks whoever listens: one that says nothing keeps nobody waiting.
  Result<Invitation> try_all(base::Time deadline) {
    std::list<Attempt> attempts;
    for (const std::string& host : options_.candidates) {
      for (const std::uint16_t port : rendezvous_ports(options_.start)) {
        auto socket = os::connect_tcp(host, port);
        if (socket) attempts.push_back({std::move(*socket), nullptr});
      }
    }
    Error last{Code::kUnavailable, "nobody listens there"};
    base::Time until = std::min(deadline, os::now() + kConnectTime);
    while (!attempts.empty()) {
      std::vector<pollfd> polled;
      for (const Attempt& attempt : attempts) {
        const short events = attempt.question ? POLLIN : POLLOUT;
        polled.push_back({attempt.socket.get(), events, 0});
      }
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - os::now()).count();
      if (left <= 0 || ::poll(polled.data(), polled.size(), static_cast<int>(left)) <= 0) break;
      std::size_t i = 0;
      for (auto it = attempts.begin(); it != attempts.end(); ++i) {
        if (polled[i].revents == 0) {
          ++it;
          continue;
        }
        if (!it->question) {
          const auto asked = os::connect_result(it->socket) ? ask(*it) : Result<void>(last);
          if (asked) until = std::min(deadline, os::now() + kAnswerTime);
          if (!asked) last = asked.error();
          it = asked ? std::next(it) : attempts.erase(it);
          continue;
        }
        auto answer = read_answer(*it);
        if (answer) return answer;
        last = answer.error();
        it = attempts.erase(it);
      }
    }
    return Error{Code::kUnavailable, last.what};
  }

  Result<void> ask(Attempt& attempt) {
    attempt.question = std::make_unique<JoinQuestion>(JoinScope{.uid = ::geteuid(), .start = options_.start});
    const auto credential = munge_->seal(attempt.question->bytes());
    if (!credential) return credential.error();
    return send_framed(attempt.socket, base::as_bytes(*credential), os::now() + kAnswerTime);
  }

  Result<Invitation> read_answer(const Attempt& attempt) {
    const auto sealed = receive_framed(attempt.socket, os::now() + kAnswerTime);
    if (!sealed) return sealed.error();
    const auto welcome = munge_->unseal(*sealed);
    if (!welcome) return welcome.error();
    auto invitation = attempt.question->open(*welcome);
    if (!invitation) return invitation.error();
    auto out = decode_invitation(*invitation);
    wipe(*invitation);
    return out;
  }

  std::string join_names() const {
    std::string out;
    for (const auto& host : options_.candidates) out += (out.empty() ? "" : ", ") + host;
    return out.empty() ? "a host whose address is not known" : out;
  }

  const std::unique_ptr<Munge> munge_;  // Ends after the server.
  const MungeRendezvousOptions options_;
  std::unique_ptr<MungeServer> server_;
};

}  // namespace

std::unique_ptr<Rendezvous> make_munge_rendezvous(std::unique_ptr<Munge> munge, MungeRendezvousOptions options) {
  return std::make_unique<MungeRendezvous>(std::move(munge), std::move(options));
}

std::array<std::uint16_t, 16> rendezvous_ports(const std::string& start) {
  std::array<std::uint16_t, 16> out{};
  const auto group = static_cast<std::uint16_t>(name_hash(start) % kPortGroups);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<std::uint16_t>(kFirstPort + group * out.size() + i);
  }
  return out;
}

}  // namespace mobula::slurm

#include "transport/sock/acceptor.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "core/os/log.h"
#include "core/os/socket.h"

namespace mobula::transport::sock {
namespace {

constexpr int kAcceptsPerRound = 64;
constexpr base::Duration kPatience = std::chrono::milliseconds(200);  // An honest handshake takes 1 ms.
constexpr base::Duration kWithoutReserve = std::chrono::milliseconds(100);
constexpr base::Duration kLogEvery = std::chrono::minutes(1);

}  // namespace

struct Acceptor::HalfOpen {
  HalfOpen(os::EventLoop& loop, os::Fd socket, const Credentials& credentials, pid_t peer)
      : stream(std::make_unique<SocketStream>(loop, std::move(socket))),
        greeting(Handshake::Role::kServer, credentials, *stream),
        pid(peer) {}

  std::unique_ptr<SocketStream> stream;
  stream::Greeting greeting;
  pid_t pid;
  base::Time since = os::now();
};

base::Result<std::unique_ptr<Acceptor>> Acceptor::listen(os::EventLoop& loop, const SocketAddress& address,
                                                         const Options& options, Accepted accepted) {
  const bool tcp = address.family == SocketAddress::Family::kTcp;
  base::Result<os::Fd> socket = tcp ? os::listen_tcp(address.where, 0) : os::listen_unix(address.where);
  if (!socket.ok()) return socket.error();
  SocketAddress bound = address;
  if (tcp) bound.port = os::local_port(*socket);
  return std::unique_ptr<Acceptor>(
      new Acceptor(loop, std::move(bound), std::move(*socket), options, std::move(accepted)));
}

Acceptor::Acceptor(os::EventLoop& loop, SocketAddress address, os::Fd listener, const Options& options,
                   Accepted accepted)
    : loop_(loop),
      address_(std::move(address)),
      options_(options),
      accepted_(std::move(accepted)),
      listener_(std::move(listener)),
      reserve_(listener_.duplicate()) {
  watch_ = loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_acceptable(); });
}

Acceptor::~Acceptor() {
  loop_.remove(watch_);
  if (paused_ != 0) loop_.cancel(paused_);
  if (address_.family == SocketAddress::Family::kUnix) ::unlink(address_.where.c_str());
}

void Acceptor::on_acceptable() {
  const std::weak_ptr<void> alive = alive_;
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    if (alive.expired() || paused_ != 0 || !make_room()) return;
    base::Result<os::Fd> socket = os::accept(listener_);
    if (socket.ok()) {
      admit(std::move(*socket));
    } else if (socket.error().code == base::Code::kExhausted) {
      shed();
    } else {
      return;
    }
  }
}

bool Acceptor::make_room() {
  if (half_open_.size() < kHalfOpenMax) return true;
  const base::Duration left = half_open_.front().since + kPatience - os::now();
  if (left > base::Duration::zero()) {
    pause(left);
    return false;
  }
  half_open_.pop_front();
  refuse("it kept a place for a handshake that others wait for");
  return true;
}

void Acceptor::admit(os::Fd socket) {
  pid_t pid = 0;
  if (address_.family == SocketAddress::Family::kUnix) {
    const base::Result<os::PeerCredentials> peer = os::peer_credentials(socket);
    if (!peer.ok() || peer->uid != ::geteuid()) {
      return refuse(peer.ok() ? "it belongs to uid " + std::to_string(peer->uid) : peer.error().what);
    }
    pid = peer->pid;
  }
  half_open_.emplace_back(loop_, std::move(socket), options_.credentials, pid);
  const Place place = std::prev(half_open_.end());
  place->stream->set({[this, place] { drive(place); }, [this, place] { drive(place); }});
  place->stream->set_deadline(options_.handshake_timeout, [this, place] {
    half_open_.erase(place);
    refuse("it did not finish its handshake in time");
    resume();
  });
  drive(place);
}

void Acceptor::drive(Place place) {
  switch (place->greeting.drive()) {
    case stream::Greeting::State::kGoing: return;
    case stream::Greeting::State::kFailed: {
      const base::Error why = place->greeting.why();
      half_open_.erase(place);
      if (why.code == base::Code::kUnavailable) {  // The stream's word for its end; a proof that fails has others.
        // It ended while it connected, as processes do when a job is over: nobody was kept out.
        ++refused_;
        os::log(os::LogLevel::kInfo, "a peer of {} was gone before its handshake: {}", address_.to_string(), why.what);
      } else {
        refuse(why.what);
      }
      return resume();
    }
    case stream::Greeting::State::kDone: break;
  }
  const Handshake& proof = place->greeting.proof();
  Proven proven{nullptr, proof.peer(), proof.keys(), place->pid};
  place->stream->stop();
  proven.stream = std::move(place->stream);
  half_open_.erase(place);
  resume();
  const Accepted accepted = accepted_;  // It may destroy us.
  accepted(std::move(proven));
}

void Acceptor::shed() {
  reserve_.reset();
  if (const base::Result<os::Fd> turned_away = os::accept(listener_); turned_away.ok()) {
    refuse("this process is out of descriptors");
  }
  reserve_ = listener_.duplicate();
  if (!reserve_.valid()) pause(kWithoutReserve);
}

void Acceptor::pause(base::Duration pause) {
  if (paused_ != 0) return;
  loop_.modify(watch_, 0);
  paused_ = loop_.after(pause, [this] { resume(); });
}

void Acceptor::resume() {
  if (paused_ == 0) return;
  loop_.cancel(paused_);
  paused_ = 0;
  if (!reserve_.valid()) reserve_ = listener_.duplicate();
  loop_.modify(watch_, EPOLLIN);
}

void Acceptor::refuse(const std::string& why) {
  ++refused_;
  const base::Time now = os::now();
  if (logged_at_ != base::Time{} && now - logged_at_ < kLogEvery) return;
  os::log(os::LogLevel::kWarn, "turned away {} connection(s) to {}; the last because {}", refused_ - logged_refused_,
          address_.to_string(), why);
  logged_at_ = now;
  logged_refused_ = refused_;
}

}  // namespace mobula::transport::sock

#include <sys/epoll.h>

#include <utility>

#include "core/os/alarm.h"
#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "core/os/stream_io.h"
#include "transport/sock/acceptor.h"
#include "transport/sock/address.h"
#include "transport/sock/sock.h"
#include "transport/sock/socket_stream.h"
#include "transport/stream/session_set.h"

namespace mobula::transport::sock {
namespace {

using stream::Session;

// A stream that failed before it began.
class DeadStream final : public stream::ByteStream {
 public:
  explicit DeadStream(base::Error why) : why_(std::move(why)) {}
  std::ptrdiff_t read(std::span<const iovec>) override { return kEnded; }
  std::ptrdiff_t write(std::span<const iovec>) override { return kEnded; }
  base::Error why() const override { return why_; }
  void want_writable(bool) override {}

 private:
  base::Error why_;
};

class SockWorker final : public Worker {
 public:
  SockWorker(const WorkerOptions& options, Inbox& inbox, const SockOptions& sock)
      : sock_(sock), sessions_(options, inbox) {
    loop_.watch(alarm_.fd(), EPOLLIN, [this](std::uint32_t) { alarm_.set(loop_.next_timer()); });
  }

  Result<void> listen() {
    const Result<SocketAddress> where = place();
    if (!where.ok()) return where.error();
    Result<std::unique_ptr<Acceptor>> acceptor =
        Acceptor::listen(loop_, *where, {sessions_.options().credentials, sock_.connect_timeout},
                         [this](Acceptor::Proven&& proven) { accept(std::move(proven)); });
    if (!acceptor.ok()) return acceptor.error();
    acceptor_ = std::move(*acceptor);
    address_ = acceptor_->address().to_string();
    return {};
  }

  const Address& address() const override { return address_; }
  Result<Endpoint*> connect(const Address& peer) override;

  Result<std::unique_ptr<Region>> register_memory(Bytes memory) override { return sessions_.register_memory(memory); }
  Result<std::unique_ptr<Region>> register_file(int, std::size_t, Bytes mapped) override {
    return sessions_.register_memory(mapped);
  }

  std::size_t progress() override {
    const std::size_t ran = loop_.run_once(base::Duration::zero());
    return ran + sessions_.finish_round();
  }
  int event_fd() const override { return loop_.fd(); }
  bool arm() override {
    if (sessions_.flush()) return false;
    alarm_.set(loop_.next_timer());
    return !os::is_readable_now(loop_.fd());
  }

 private:
  Result<SocketAddress> place() const {
    const WorkerOptions& options = sessions_.options();
    if (sock_.listen == SockOptions::Listen::kTcp) {
      return SocketAddress{SocketAddress::Family::kTcp, options.interface, 0};
    }
    if (options.socket_directory.empty()) {
      return base::Error{base::Code::kInvalid, "a worker on a Unix socket needs a directory for it"};
    }
    std::uint64_t name = 0;
    os::fill_random(&name, sizeof name);
    return SocketAddress{SocketAddress::Family::kUnix, options.socket_directory + "/t" + std::to_string(name), 0};
  }

  void accept(Acceptor::Proven&& proven) {
    SocketStream& stream = *proven.stream;
    Session& session =
        sessions_.add(std::make_unique<Session>(sessions_.shared(), std::move(proven.stream), std::move(proven.peer)));
    watch(stream, session);
    sessions_.shared().inbox.accepted(session);
  }

  // A session outlives its stream's events: it is destroyed at the end of a round only.
  static void watch(SocketStream& stream, Session& session) {
    stream.set({[&session] { session.on_readable(); }, [&session] { session.on_writable(); }});
  }

  const SockOptions sock_;
  os::EventLoop loop_;
  os::Alarm alarm_;
  stream::SessionSet sessions_;
  std::unique_ptr<Acceptor> acceptor_;
  Address address_;
};

Result<Endpoint*> SockWorker::connect(const Address& peer) {
  const Result<SocketAddress> where = SocketAddress::parse(peer);
  if (!where.ok()) return where.error();
  Result<os::Fd> socket = connect_to(*where);
  if (!socket.ok()) {
    base::Error why{base::Code::kUnavailable, socket.error().what};
    Session& dead = sessions_.add(std::make_unique<Session>(
        sessions_.shared(), std::make_unique<DeadStream>(std::move(why)), Handshake::Role::kClient));
    dead.greet_soon();
    return static_cast<Endpoint*>(&dead);
  }
  auto owned = std::make_unique<SocketStream>(loop_, std::move(*socket));
  SocketStream& stream = *owned;
  Session& session =
      sessions_.add(std::make_unique<Session>(sessions_.shared(), std::move(owned), Handshake::Role::kClient));
  watch(stream, session);
  stream.set_deadline(sock_.connect_timeout, [&session] {
    if (!session.connected()) session.fail({base::Code::kDeadline, "the peer did not answer the handshake in time"});
  });
  return static_cast<Endpoint*>(&session);
}

}  // namespace

Result<std::unique_ptr<Worker>> make_sock_worker(const WorkerOptions& options, Inbox& inbox, const SockOptions& sock) {
  auto worker = std::make_unique<SockWorker>(options, inbox, sock);
  if (const Result<void> listening = worker->listen(); !listening.ok()) return listening.error();
  return std::unique_ptr<Worker>(std::move(worker));
}

}  // namespace mobula::transport::sock

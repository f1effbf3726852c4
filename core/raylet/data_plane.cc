#include "core/raylet/data_plane.h"

#include <sys/epoll.h>

#include <algorithm>
#include <list>
#include <map>
#include <utility>
#include <vector>

#include "core/os/log.h"
#include "core/os/process.h"
#include "transport/module.h"
#include "transport/shm/shm.h"
#include "transport/sock/sock.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::NodeId;
using base::Result;

// Large enough that a request does not count, small enough that several pulls take turns.
constexpr std::size_t kPieceBytes = 8u << 20;
constexpr std::size_t kPiecesInFlight = 4;
constexpr auto kStallTime = std::chrono::seconds(10);

// A peer as one backend reaches it.
struct Route {
  transport::Worker* worker = nullptr;
  transport::Region* region = nullptr;  // Our store, registered there.
  std::string address;
  std::string key;
};

}  // namespace

Result<NodeLink> parse_node_link(const std::string& text) {
  if (text.empty() || text == "auto") return NodeLink::kAuto;
  if (text == "shm") return NodeLink::kShm;
  if (text == "sock") return NodeLink::kSock;
  if (text == "ucx") return NodeLink::kUcx;
  return Error{Code::kInvalid, "MOBULA_NODE_LINK=" + text + ": there are auto, shm, sock and ucx"};
}

// All of it but create() runs on the data thread.
class DataPlane::Mover final : public transport::Inbox {
 public:
  explicit Mover(const Options& options) : link_(options.link), host_key_(options.host_key) {}

  Result<void> open(const Options& options, proto::PeerHello& offer);
  void run();
  void post(std::function<void()> call) { loop_.post(std::move(call)); }
  void stop() {
    loop_.post([this] { stopped_ = true; });
  }

  void peer_offers(const proto::PeerHello& hello);
  void forget(const NodeId& peer);
  void read(const NodeId& peer, std::uint64_t from, const objstore::Allocation& to, std::size_t size, Done done);

 private:
  struct Backend {
    std::unique_ptr<transport::Worker> worker;
    std::unique_ptr<transport::Region> region;
    os::EventLoop::Id watch = 0;
  };
  struct Peer {
    std::uint64_t incarnation = 0;
    Route route;
    transport::Endpoint* endpoint = nullptr;
  };

  // One read, cut into pieces of which a few are in flight.
  struct Transfer;
  struct Piece final : transport::Completion {
    Transfer* transfer = nullptr;
    void done(Result<std::size_t> bytes) override;
  };
  struct Transfer {
    Mover* mover = nullptr;
    NodeId peer;
    std::uint64_t from = 0;
    const objstore::Allocation* to = nullptr;
    std::size_t size = 0;
    std::size_t started = 0;
    std::size_t in_flight = 0;
    std::optional<Error> error;
    base::Time moved_at{};
    Done done;
    std::vector<Piece> pieces;  // Of kPiecesInFlight; those not in flight are in `free`.
    std::vector<Piece*> free;
    std::list<Transfer>::iterator self;
  };

  Result<void> use(Backend& backend, Result<std::unique_ptr<transport::Worker>> worker, const Options& options);
  transport::Endpoint* endpoint(Peer& peer);
  void advance(Transfer& transfer);
  void check_stalls();

  void accepted(transport::Endpoint&) override {}
  void message(transport::Endpoint&, std::uint16_t, base::ConstBytes, base::ConstBytes) override {}
  void writable(transport::Endpoint&) override {}
  void lost(transport::Endpoint& endpoint, const Error& why) override;

  const NodeLink link_;
  const std::string host_key_;
  os::EventLoop loop_;
  Backend shm_;
  Backend sock_;
  Backend ucx_;
  std::map<NodeId, Peer> peers_;
  std::list<Transfer> transfers_;
  os::EventLoop::Id stall_timer_ = 0;
  bool stopped_ = false;
};

Result<void> DataPlane::Mover::use(Backend& backend, Result<std::unique_ptr<transport::Worker>> worker,
                                   const Options& options) {
  if (!worker) return worker.error();
  backend.worker = std::move(*worker);
  auto region = backend.worker->register_file(options.data_fd, 0, options.mapping);
  if (!region) return region.error();
  backend.region = std::move(*region);
  backend.watch = loop_.watch(backend.worker->event_fd(), EPOLLIN, [](std::uint32_t) {});  // run() makes the progress.
  return {};
}

Result<void> DataPlane::Mover::open(const Options& options, proto::PeerHello& offer) {
  transport::WorkerOptions worker;
  worker.credentials = options.credentials;
  worker.socket_directory = options.socket_directory;
  if (!options.interface.empty()) worker.interface = options.interface;
  if (link_ == NodeLink::kAuto || link_ == NodeLink::kShm) {
    const auto used = use(shm_, transport::shm::make_shm_worker(worker, *this), options);
    if (!used) return used.error();
    offer.set_shm(shm_.worker->address());
    offer.set_shm_key(std::string(base::as_string_view(shm_.region->remote_key())));
  }
  if (link_ != NodeLink::kShm) {
    transport::sock::SockOptions sock;
    sock.listen = options.interface.empty() ? transport::sock::SockOptions::Listen::kUnix
                                            : transport::sock::SockOptions::Listen::kTcp;
    const auto used = use(sock_, transport::sock::make_sock_worker(worker, *this, sock), options);
    if (!used) return used.error();
    offer.set_sock(sock_.worker->address());
    offer.set_sock_key(std::string(base::as_string_view(sock_.region->remote_key())));
  }
  const bool hosts = !options.interface.empty();
  if (link_ == NodeLink::kUcx || (link_ == NodeLink::kAuto && hosts && transport::has_rdma_device())) {
    const auto used = use(ucx_,
                          transport::load_ucx_worker(
                              worker, *this, hosts ? transport::ModuleListen::kTcp : transport::ModuleListen::kUnix),
                          options);
    if (used) {
      offer.set_ucx(ucx_.worker->address());
      offer.set_ucx_key(std::string(base::as_string_view(ucx_.region->remote_key())));
    } else {
      // Objects then take the sockets; calls between workers still take UCX.
      os::log(os::LogLevel::kWarn, "objects of this node do not move over UCX: {}", used.error().what);
      ucx_ = {};
    }
  }
  return {};
}

void DataPlane::Mover::run() {
  os::set_process_name("data");
  while (!stopped_) {
    std::size_t moved = 0;
    bool asleep = true;
    for (Backend* backend : {&shm_, &sock_, &ucx_}) {
      if (backend->worker != nullptr) moved += backend->worker->progress();
    }
    for (Backend* backend : {&shm_, &sock_, &ucx_}) {
      if (moved == 0 && backend->worker != nullptr) asleep = backend->worker->arm() && asleep;
    }
    loop_.run_once(moved == 0 && asleep ? std::nullopt : std::optional<base::Duration>(base::Duration::zero()));
  }
  for (Backend* backend : {&shm_, &sock_, &ucx_}) {
    if (backend->watch != 0) loop_.remove(backend->watch);
  }
}

void DataPlane::Mover::peer_offers(const proto::PeerHello& hello) {
  const auto id = NodeId::from_string(hello.node_id());
  if (!id) return;
  Peer& peer = peers_[*id];
  Route route;
  const bool same_host = hello.host_key() == host_key_;
  if (shm_.worker != nullptr && same_host && !hello.shm().empty()) {
    route = {shm_.worker.get(), shm_.region.get(), hello.shm(), hello.shm_key()};
  } else if (ucx_.worker != nullptr && !hello.ucx().empty()) {
    route = {ucx_.worker.get(), ucx_.region.get(), hello.ucx(), hello.ucx_key()};
  } else if (sock_.worker != nullptr && !hello.sock().empty()) {
    route = {sock_.worker.get(), sock_.region.get(), hello.sock(), hello.sock_key()};
  }
  if (peer.route.address != route.address && peer.endpoint != nullptr) {
    peer.endpoint->close();
    peer.endpoint = nullptr;
  }
  peer.incarnation = hello.incarnation();
  peer.route = std::move(route);
}

void DataPlane::Mover::forget(const NodeId& id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  if (it->second.endpoint != nullptr) it->second.endpoint->close();
  peers_.erase(it);
}

transport::Endpoint* DataPlane::Mover::endpoint(Peer& peer) {
  if (peer.endpoint != nullptr || peer.route.worker == nullptr) return peer.endpoint;
  auto made = peer.route.worker->connect(peer.route.address);
  if (made) peer.endpoint = *made;
  return peer.endpoint;
}

void DataPlane::Mover::lost(transport::Endpoint& endpoint, const Error&) {
  for (auto& [id, peer] : peers_) {
    if (peer.endpoint == &endpoint) peer.endpoint = nullptr;  // Made again by the next read.
  }
}

void DataPlane::Mover::read(const NodeId& id, std::uint64_t from, const objstore::Allocation& to, std::size_t size,
                            Done done) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || endpoint(it->second) == nullptr) {
    return done(Error{Code::kUnavailable, "no link for data to node " + id.short_hex()});
  }
  Transfer& transfer = transfers_.emplace_back();
  transfer.self = std::prev(transfers_.end());
  transfer.mover = this;
  transfer.peer = id;
  transfer.from = from;
  transfer.to = &to;
  transfer.size = size;
  transfer.moved_at = os::now();
  transfer.done = std::move(done);
  transfer.pieces.resize(kPiecesInFlight);
  for (Piece& piece : transfer.pieces) {
    piece.transfer = &transfer;
    transfer.free.push_back(&piece);
  }
  if (stall_timer_ == 0) check_stalls();
  advance(transfer);
}

void DataPlane::Mover::advance(Transfer& transfer) {
  const auto peer = peers_.find(transfer.peer);
  transport::Endpoint* to = peer == peers_.end() ? nullptr : endpoint(peer->second);
  if (to == nullptr && !transfer.error)
    transfer.error = Error{Code::kUnavailable, "the link to node " + transfer.peer.short_hex() + " broke"};
  while (!transfer.error && transfer.started < transfer.size && !transfer.free.empty()) {
    const std::size_t bytes = std::min(kPieceBytes, transfer.size - transfer.started);
    Piece* piece = transfer.free.back();
    transfer.free.pop_back();
    transfer.to->populate(bytes);  // Ahead of the copy: a fault for each page costs more.
    const Route& route = peer->second.route;
    const transport::RemoteSpan remote{transfer.from + transfer.started, bytes, base::as_bytes(route.key)};
    const transport::LocalSpan local{*route.region, static_cast<std::size_t>(transfer.to->offset()) + transfer.started,
                                     bytes};
    transfer.started += bytes;
    ++transfer.in_flight;
    to->read(remote, local, *piece);
  }
  if (transfer.in_flight != 0 || (!transfer.error && transfer.started < transfer.size)) return;
  const Done done = std::move(transfer.done);
  const Result<void> result = transfer.error ? Result<void>(*transfer.error) : Result<void>();
  transfers_.erase(transfer.self);
  done(result);
}

void DataPlane::Mover::Piece::done(Result<std::size_t> bytes) {
  Transfer& t = *transfer;
  --t.in_flight;
  t.free.push_back(this);
  t.moved_at = os::now();
  if (!bytes && !t.error) t.error = bytes.error();
  t.mover->advance(t);
}

// A holder that neither sends nor breaks is given up; closing the endpoint ends its pieces.
void DataPlane::Mover::check_stalls() {
  stall_timer_ = 0;
  for (Transfer& transfer : transfers_) {
    if (transfer.error || os::now() - transfer.moved_at < kStallTime) continue;
    transfer.error = Error{Code::kDeadline, "node " + transfer.peer.short_hex() + " sent nothing for 10 s"};
    const auto peer = peers_.find(transfer.peer);
    if (peer == peers_.end() || peer->second.endpoint == nullptr) continue;
    peer->second.endpoint->close();
    peer->second.endpoint = nullptr;
  }
  if (!transfers_.empty()) stall_timer_ = loop_.after(std::chrono::seconds(1), [this] { check_stalls(); });
}

Result<std::unique_ptr<DataPlane>> DataPlane::create(os::EventLoop& main_loop, const Options& options) {
  auto plane = std::unique_ptr<DataPlane>(new DataPlane(main_loop));
  plane->mover_ = std::make_unique<Mover>(options);
  const auto opened = plane->mover_->open(options, plane->offer_);
  if (!opened) return opened.error();
  plane->thread_ = std::thread([mover = plane->mover_.get()] { mover->run(); });
  return plane;
}

DataPlane::DataPlane(os::EventLoop& main_loop) : main_loop_(main_loop) {}

DataPlane::~DataPlane() {
  *alive_ = false;
  if (!thread_.joinable()) return;
  mover_->stop();
  thread_.join();
}

void DataPlane::offer(proto::PeerHello& hello) const { hello.MergeFrom(offer_); }

void DataPlane::peer_offers(const proto::PeerHello& hello) {
  mover_->post([mover = mover_.get(), hello] { mover->peer_offers(hello); });
}

void DataPlane::forget(const NodeId& peer) {
  mover_->post([mover = mover_.get(), peer] { mover->forget(peer); });
}

void DataPlane::read(const NodeId& peer, std::uint64_t from, const objstore::Allocation& to, std::size_t size,
                     Done done) {
  auto answer = [this, alive = alive_, done = std::move(done)](Result<void> result) {
    main_loop_.post([alive, done, result = std::move(result)] {
      if (*alive) done(result);
    });
  };
  mover_->post([mover = mover_.get(), peer, from, &to, size, answer = std::move(answer)] {
    mover->read(peer, from, to, size, answer);
  });
}

}  // namespace mobula::raylet

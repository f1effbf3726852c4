#include "transport/ofi/port.h"

#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>

#include <array>
#include <utility>

#include "core/os/log.h"
#include "transport/ofi/library.h"
#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {
namespace {

constexpr std::size_t kEntriesAtOnce = 16;
constexpr int kRoundsMax = 16;

}  // namespace

Result<std::unique_ptr<Port>> Port::open(std::shared_ptr<Provider> provider, Owner& owner) {
  std::unique_ptr<Port> port(new Port(std::move(provider), owner));
  if (auto opened = port->open_queue(); !opened) return opened.error();
  if (auto opened = port->open_endpoint(); !opened) return opened.error();
  return port;
}

Result<void> Port::open_queue() {
  const fi_info& info = *provider_->info();
  fi_cq_attr attributes{};
  attributes.size = info.tx_attr->size + info.rx_attr->size;
  attributes.format = FI_CQ_FORMAT_MSG;
  attributes.wait_obj = FI_WAIT_FD;
  if (fi_cq_open(provider_->domain(), &attributes, &queue_, nullptr) == 0 &&
      fi_control(&queue_->fid, FI_GETWAIT, &wait_fd_) == 0) {
    return {};
  }
  if (queue_ != nullptr) fi_close(&queue_->fid);
  queue_ = nullptr;
  wait_fd_ = -1;
  attributes.wait_obj = FI_WAIT_NONE;
  const int failed = fi_cq_open(provider_->domain(), &attributes, &queue_, nullptr);
  if (failed == 0) return {};
  queue_ = nullptr;
  return error_of("making a completion queue", failed);
}

Result<void> Port::open_endpoint() {
  fi_av_attr attributes{};
  attributes.type = provider_->info()->domain_attr->av_type;
  if (attributes.type == FI_AV_UNSPEC) attributes.type = FI_AV_TABLE;
  int failed = fi_av_open(provider_->domain(), &attributes, &addresses_, nullptr);
  if (failed != 0) return error_of("making an address table", failed);
  failed = fi_endpoint(provider_->domain(), provider_->info(), &ep_, nullptr);
  if (failed != 0) return error_of("making an endpoint", failed);
  failed = fi_ep_bind(ep_, &addresses_->fid, 0);
  if (failed == 0) failed = fi_ep_bind(ep_, &queue_->fid, FI_TRANSMIT | FI_RECV);
  if (failed == 0) failed = fi_enable(ep_);
  if (failed != 0) return error_of("opening an endpoint", failed);
  address_.resize(kOfiAddressBytesMax);
  std::size_t size = address_.size();
  failed = fi_getname(&ep_->fid, address_.data(), &size);
  if (failed != 0) return error_of("asking for an endpoint's address", failed);
  address_.resize(size);
  return {};
}

Port::~Port() {
  const auto close = [](fid* object, const char* what) {
    const int failed = fi_close(object);
    if (failed != 0) os::log(os::LogLevel::kWarn, "closing {}: libfabric returns {}", what, failed);
  };
  if (ep_ != nullptr) close(&ep_->fid, "an endpoint");
  if (queue_ != nullptr) close(&queue_->fid, "a completion queue");
  if (addresses_ != nullptr) close(&addresses_->fid, "an address table");
}

Result<Port::Peer*> Port::reach(const std::string& address) {
  auto& peer = peers_[address];
  if (peer == nullptr) {
    peer = std::make_unique<Peer>();
    peer->address = address;
    // Providers read as many bytes as their addresses have.
    std::string padded = address;
    padded.resize(kOfiAddressBytesMax, '\0');
    const int inserted = fi_av_insert(addresses_, padded.data(), 1, &peer->handle, 0, nullptr);
    if (inserted != 1) {
      peers_.erase(address);
      return base::Error{base::Code::kUnavailable, error_of("taking up a peer's address", inserted).what};
    }
  }
  ++peer->users;
  return peer.get();
}

void Port::leave(Peer& peer) {
  --peer.users;
  drop_if_idle(peer);
}

void Port::landed(Peer& peer) {
  --peer.in_flight;
  drop_if_idle(peer);
}

void Port::drop_if_idle(Peer& peer) {
  if (peer.users != 0 || peer.in_flight != 0) return;
  fi_av_remove(addresses_, &peer.handle, 1, 0);
  peers_.erase(std::string(peer.address));
}

std::size_t Port::poll() {
  std::size_t ended = 0;
  std::array<fi_cq_msg_entry, kEntriesAtOnce> entries;
  for (int round = 0; round < kRoundsMax; ++round) {
    const auto got = fi_cq_read(queue_, entries.data(), entries.size());
    if (got == -FI_EAVAIL) {
      if (!take_failure()) break;
      ++ended;
      continue;
    }
    if (got <= 0) break;
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      if (entries[i].op_context == nullptr) continue;
      ++ended;
      owner_.completed(*static_cast<Operation*>(entries[i].op_context), entries[i].len);
    }
    if (static_cast<std::size_t>(got) < entries.size()) break;
  }
  return ended;
}

bool Port::take_failure() {
  fi_cq_err_entry entry{};
  if (fi_cq_readerr(queue_, &entry, 0) <= 0) return false;
  if (entry.op_context == nullptr) return true;
  owner_.failed(*static_cast<Operation*>(entry.op_context), error_of("the transfer failed", entry.err));
  return true;
}

bool Port::arm() {
  if (wait_fd_ < 0) return true;
  fid* objects[] = {&queue_->fid};
  return fi_trywait(provider_->fabric(), objects, 1) == FI_SUCCESS;
}

}  // namespace mobula::transport::ofi

#include "transport/ofi/accesses.h"

#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "core/os/log.h"
#include "transport/ofi/library.h"

namespace mobula::transport::ofi {
namespace {

constexpr base::Duration kRetry = std::chrono::milliseconds(1);
constexpr int kLooksPerStall = 4;

}  // namespace

Accesses::Accesses(Options options, os::EventLoop& loop, stream::Completions& completions, OfiCounters& counters)
    : provider_(std::move(options.provider)),
      stall_max_(options.stall_max),
      loop_(loop),
      completions_(completions),
      counters_(counters) {}

Accesses::~Accesses() { shut(); }

void Accesses::shut() {
  close_port();
  open_.clear();
}

void Accesses::start(const Start& start) {
  Access access;
  static_cast<Start&>(access) = start;
  open_.push_back(std::move(access));
  open_.back().self = std::prev(open_.end());
  ++counters_.one_sided;
  pump();
}

void Accesses::abandon(const void* owner, const base::Error& why) {
  for (auto it = open_.begin(); it != open_.end();) {
    Access& access = *it++;
    if (access.owner != owner) continue;
    access.failed = why;
    if (access.in_flight != 0 && !give_up_at_) give_up_at_ = os::now() + kGrace;
    finish_if_over(access);
  }
}

bool Accesses::has_any(const void* owner) const {
  return std::any_of(open_.begin(), open_.end(), [owner](const Access& access) { return access.owner == owner; });
}

std::size_t Accesses::progress() {
  if (open_.empty() || port_ == nullptr) return 0;
  const std::size_t ended = port_->poll();
  const base::Time now = os::now();
  if (now >= look_at_) fail_stalled();
  if (give_up_at_ && now >= *give_up_at_) renew();
  if (ended != 0 || blocked_) pump();
  return ended;
}

std::optional<base::Time> Accesses::next_try() const {
  if (open_.empty()) return std::nullopt;
  if (blocked_) return os::now() + kRetry;
  return give_up_at_ ? std::min(*give_up_at_, look_at_) : look_at_;
}

void Accesses::fail_stalled() {
  const base::Time now = os::now();
  look_at_ = now + stall_max_ / kLooksPerStall;
  for (Access& access : open_) {
    if (access.in_flight == 0 || access.failed || now - access.moved_at < stall_max_) continue;
    access.failed = base::Error{
        base::Code::kDeadline,
        "nothing of the transfer has moved for " +
            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(stall_max_).count()) + " ms"};
    give_up_at_ = now;
  }
}

void Accesses::completed(Operation& operation, std::size_t) {
  auto& piece = static_cast<Piece&>(operation);
  const std::size_t size = piece.size;
  Access& access = take_back(piece);
  access.done += size;
  access.moved_at = os::now();
  finish_if_over(access);
}

void Accesses::failed(Operation& operation, const base::Error& why) {
  Access& access = take_back(static_cast<Piece&>(operation));
  if (!access.failed) access.failed = why;
  finish_if_over(access);
}

Accesses::Access& Accesses::take_back(Piece& piece) {
  Access& access = *piece.access;
  --access.in_flight;
  --access.target->in_flight;
  const auto it = std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& p) { return &p == &piece; });
  free_pieces_.splice(free_pieces_.begin(), pieces_, it);
  return access;
}

void Accesses::finish_if_over(Access& access) {
  if (access.in_flight != 0) return;
  if (access.failed) {
    completions_.add(*access.completion, *access.failed);
  } else if (access.done == access.local.size()) {
    completions_.add(*access.completion, access.local.size());
  } else {
    return;
  }
  if (access.target != nullptr) port_->leave(*access.target);
  open_.erase(access.self);
}

// Asks the provider for as many pieces as may be under way.
void Accesses::pump() {
  blocked_ = false;
  for (auto it = open_.begin(); it != open_.end() && pieces_.size() < kPiecesMax;) {
    Access& access = *it++;
    if (!access.failed && access.target == nullptr) {
      if (auto prepared = prepare(access); !prepared) access.failed = prepared.error();
    }
    while (!access.failed && access.asked < access.local.size() && access.in_flight < kPiecesOfOneMax &&
           pieces_.size() < kPiecesMax) {
      if (free_pieces_.empty()) free_pieces_.emplace_back();
      Piece& piece = free_pieces_.front();
      piece.what = Operation::What::kAccess;
      piece.access = &access;
      piece.size =
          std::min({kPieceBytes, provider_->info()->ep_attr->max_msg_size, access.local.size() - access.asked});
      const std::int64_t posted = post(access, piece);
      if (posted == -FI_EAGAIN) {  // Perhaps of this peer only, which has yet to answer.
        blocked_ = true;
        break;
      }
      if (posted != 0) {
        access.failed = error_of("asking for a transfer", posted);
        break;
      }
      pieces_.splice(pieces_.begin(), free_pieces_, free_pieces_.begin());
      if (access.in_flight == 0) access.moved_at = os::now();
      access.asked += piece.size;
      ++access.in_flight;
      ++access.target->in_flight;
    }
    finish_if_over(access);
  }
}

Result<void> Accesses::prepare(Access& access) {
  if (port_ == nullptr) {
    if (auto opened = open_port(); !opened) return opened;
  }
  // Memory that is bound to the other port's endpoint is unknown to ours.
  const bool known = access.region != nullptr && !provider_->asks(FI_MR_ENDPOINT);
  if (provider_->asks(FI_MR_LOCAL) && !known && access.own.empty()) {
    auto own = Registration::make(provider_, {access.local, FI_READ | FI_WRITE, port_->ep()});
    if (!own) return own.error();
    access.own = *std::move(own);
  }
  auto target = port_->reach(access.peer);
  if (!target) return target.error();
  access.target = *target;
  return {};
}

std::int64_t Accesses::post(Access& access, Piece& piece) {
  std::byte* local = access.local.data() + access.asked;
  void* descriptor = access.own.empty() ? nullptr : access.own.descriptor();
  if (descriptor == nullptr && access.region != nullptr) descriptor = access.region->descriptor();
  iovec memory{local, piece.size};
  fi_rma_iov remote{access.remote + access.asked, piece.size, access.key};
  fi_msg_rma message{};
  message.msg_iov = &memory;
  message.desc = &descriptor;
  message.iov_count = 1;
  message.addr = access.target->handle;
  message.rma_iov = &remote;
  message.rma_iov_count = 1;
  message.context = static_cast<Operation*>(&piece);
  if (access.what == Start::What::kRead) return fi_readmsg(port_->ep(), &message, FI_COMPLETION);
  return fi_writemsg(port_->ep(), &message, FI_COMPLETION | provider_->write_flags());
}

Result<void> Accesses::open_port() {
  auto port = Port::open(provider_, *this);
  if (!port) return port.error();
  port_ = *std::move(port);
  if (port_->wait_fd() >= 0) watch_ = loop_.watch(port_->wait_fd(), EPOLLIN, [](std::uint32_t) {});  // Only wakes.
  return {};
}

void Accesses::close_port() {
  if (watch_ != 0) loop_.remove(std::exchange(watch_, 0));
  for (Access& access : open_) access.own = Registration();
  port_.reset();
}

void Accesses::renew() {
  give_up_at_.reset();
  const auto stuck = [](const Access& access) { return access.failed && access.in_flight != 0; };
  if (std::none_of(open_.begin(), open_.end(), stuck)) return;
  os::log(os::LogLevel::kInfo, "the provider {} does not end {} one-sided pieces; its endpoint is made anew",
          provider_->name(), pieces_.size());
  close_port();
  ++counters_.renewals;
  free_pieces_.splice(free_pieces_.begin(), pieces_);
  for (auto it = open_.begin(); it != open_.end();) {
    Access& access = *it++;
    access.target = nullptr;
    access.asked = access.done = access.in_flight = 0;
    finish_if_over(access);
  }
  pump();
}

}  // namespace mobula::transport::ofi

#include "transport/sim/connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mobula::transport::sim {
namespace {

constexpr std::size_t kPacketBytes = 32u << 10;
constexpr std::uint64_t kWindowBytes = 1u << 20;
constexpr Duration kTick = std::chrono::milliseconds(10);
constexpr int kBackoffMax = 3;

}  // namespace

Connection::Connection(SimNetwork& network, NodeIndex self, Id id, Hooks hooks, const ConnectionTimes& times)
    : network_(network),
      self_(self),
      id_(id),
      hooks_(std::move(hooks)),
      times_(times),
      heard_(network.now()),
      peer_room_(kWindowBytes),
      told_room_(kWindowBytes) {
  tell_news(~0ull);  // A client's first word opens the connection.
  timer_ = network_.at(self_, network_.now() + kTick, [this] { tick(); });
}

Connection::~Connection() { network_.cancel(timer_); }

void Connection::on_packet(const Packet& packet, ConstBytes bytes) {
  if (ended_) return;
  heard_ = network_.now();
  if (packet.kind == PacketKind::kReset) return end({base::Code::kUnavailable, "the peer closed the connection"});
  unreceived_.erase(unreceived_.begin(), unreceived_.lower_bound(packet.have));
  unreceived_.erase(packet.got);
  peer_room_ = std::max(peer_room_, packet.room);
  if (packet.kind == PacketKind::kData) take_data(packet, bytes);
  hooks_.changed();
}

void Connection::take_data(const Packet& packet, ConstBytes bytes) {
  const bool fits = packet.offset + bytes.size() <= read_ + kWindowBytes;
  if (packet.offset >= have_ && fits) early_.try_emplace(packet.offset, bytes.begin(), bytes.end());
  while (!early_.empty() && early_.begin()->first == have_) {
    auto next = early_.extract(early_.begin());
    have_ += next.mapped().size();
    ready_.push_back(std::move(next.mapped()));
  }
  tell_news(fits ? packet.offset : ~0ull);
}

std::size_t Connection::read(base::Bytes into) {
  std::size_t done = 0;
  while (done < into.size() && !ready_.empty()) {
    const ConstBytes first = ConstBytes(ready_.front()).subspan(ready_at_);
    const std::size_t n = std::min(first.size(), into.size() - done);
    std::memcpy(into.data() + done, first.data(), n);
    done += n;
    ready_at_ += n;
    if (n < first.size()) break;
    ready_.pop_front();
    ready_at_ = 0;
  }
  read_ += done;
  if (!ended_ && read_ + kWindowBytes - told_room_ >= kWindowBytes / 2) tell_news(~0ull);
  return done;
}

std::size_t Connection::write(ConstBytes from) {
  std::size_t done = 0;
  const std::uint64_t oldest = unreceived_.empty() ? next_offset_ : unreceived_.begin()->first;
  const std::uint64_t limit = std::min(peer_room_, oldest + kWindowBytes);
  while (!ended_ && done < from.size() && next_offset_ < limit) {
    const std::size_t n = std::min({from.size() - done, kPacketBytes, static_cast<std::size_t>(limit - next_offset_)});
    const ConstBytes part = from.subspan(done, n);
    Sent& sent = unreceived_[next_offset_];
    sent.bytes.assign(part.begin(), part.end());
    transmit(next_offset_, sent);
    next_offset_ += n;
    done += n;
  }
  return done;
}

void Connection::reset() {
  Packet packet;
  packet.kind = PacketKind::kReset;
  packet.from_client = id_.client ? 1 : 0;
  packet.connection = id_.number;
  hooks_.send(packet, {});
}

void Connection::tick() {
  const Time now = network_.now();
  if (ended_) return;
  if (now - heard_ > times_.silence_max) {
    return end({base::Code::kUnavailable,
                "nothing was heard of the peer for " + std::to_string(times_.silence_max.count() / 1'000'000) + " ms"});
  }
  for (auto& [offset, sent] : unreceived_) {
    if (now - sent.at >= times_.resend_after * (1 << std::min(sent.times - 1, kBackoffMax))) transmit(offset, sent);
  }
  if (now - told_ >= times_.news_every) tell_news(~0ull);
  timer_ = network_.at(self_, now + kTick, [this] { tick(); });
}

void Connection::transmit(std::uint64_t offset, Sent& sent) {
  Packet packet = news();
  packet.kind = PacketKind::kData;
  packet.size = static_cast<std::uint32_t>(sent.bytes.size());
  packet.offset = offset;
  sent.at = network_.now();
  ++sent.times;
  hooks_.send(packet, sent.bytes);
}

void Connection::tell_news(std::uint64_t got) {
  Packet packet = news();
  packet.got = got;
  told_ = network_.now();
  told_room_ = packet.room;
  hooks_.send(packet, {});
}

Packet Connection::news() const {
  Packet packet;
  packet.from_client = id_.client ? 1 : 0;
  packet.connection = id_.number;
  packet.have = have_;
  packet.room = read_ + kWindowBytes;
  return packet;
}

void Connection::end(base::Error why) {
  ended_ = true;
  why_ = std::move(why);
  hooks_.changed();
}

}  // namespace mobula::transport::sim

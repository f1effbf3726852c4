#include "transport/sim/port.h"

#include <algorithm>
#include <utility>

namespace mobula::transport::sim {

Port::Port(SimNetwork& network, Hooks hooks, const ConnectionTimes& times)
    : network_(network), hooks_(std::move(hooks)), times_(times) {
  node_ = network_.add_node([this](NodeIndex from, ConstBytes bytes) { receive(from, bytes); });
}

Port::~Port() {
  if (crashed_) return;
  for (auto& [id, entry] : entries_) entry.connection->reset();
  entries_.clear();
  network_.remove_node(node_);
}

void Port::crash() {
  crashed_ = true;
  network_.remove_node(node_);
}

std::unique_ptr<Port::Stream> Port::connect(NodeIndex to) { return add({to, next_number_++, true}); }

std::unique_ptr<Port::Stream> Port::add(Connection::Id id) {
  auto stream = std::make_unique<Stream>(*this, id);
  Entry& entry = entries_[id];
  entry.stream = stream.get();
  const auto send = [this, to = id.peer](const Packet& packet, ConstBytes bytes) {
    base::Buffer datagram;
    datagram.put(packet);
    datagram.append(bytes);
    network_.send(node_, to, datagram.view());
  };
  entry.connection =
      std::make_unique<Connection>(network_, node_, id, Connection::Hooks{send, [this, id] { on_change(id); }}, times_);
  return stream;
}

void Port::receive(NodeIndex from, ConstBytes bytes) {
  base::Cursor in(bytes);
  const auto packet = in.get<Packet>();
  if (!in.ok() || in.left() != packet.size) return;
  const Connection::Id id{from, packet.connection, packet.from_client == 0};
  auto it = entries_.find(id);
  if (it == entries_.end() && packet.kind != PacketKind::kReset) {
    if (id.client || over_.contains(id)) {
      Packet reset;
      reset.kind = PacketKind::kReset;
      reset.from_client = id.client ? 1 : 0;
      reset.connection = id.number;
      return network_.send(node_, from, base::object_bytes(reset));
    }
    std::unique_ptr<Stream> stream = add(id);
    changed_.push_back(stream.get());
    hooks_.accepted(std::move(stream));
    it = entries_.find(id);
  }
  if (it != entries_.end()) it->second.connection->on_packet(packet, {in.at(), in.left()});
}

void Port::on_change(const Connection::Id& id) {
  Entry& entry = entries_.at(id);
  if (entry.stream == nullptr) {
    // Nobody is called back by a connection that is buried, so it may go from within its own call later.
    if (entry.connection->ended() || entry.connection->all_received()) {
      network_.at(node_, network_.now(), [this, id] { bury(id); });
    }
    return;
  }
  if (std::find(changed_.begin(), changed_.end(), entry.stream) == changed_.end()) changed_.push_back(entry.stream);
  hooks_.changed();
}

void Port::detach(const Connection::Id& id) {
  Entry& entry = entries_.at(id);
  std::erase(changed_, entry.stream);
  entry.stream = nullptr;
  if (crashed_ || entry.connection->ended() || entry.connection->all_received()) bury(id);
}

void Port::bury(const Connection::Id& id) {
  const auto it = entries_.find(id);
  if (it == entries_.end()) return;
  if (!crashed_) it->second.connection->reset();
  over_.insert(id);
  entries_.erase(it);
}

Port::Stream* Port::next_changed() {
  if (changed_.empty()) return nullptr;
  Stream* const stream = changed_.front();
  changed_.erase(changed_.begin());
  return stream;
}

Port::Stream::~Stream() {
  port_.network_.cancel(deadline_);
  port_.detach(id_);
}

void Port::Stream::set_deadline(Time when, std::function<void()> late) {
  deadline_ = port_.network_.at(port_.node_, when, std::move(late));
}

std::ptrdiff_t Port::Stream::read(std::span<const iovec> parts) {
  Connection& connection = port_.get(id_);
  std::size_t done = 0;
  for (const iovec& part : parts) {
    const std::size_t n = connection.read({static_cast<std::byte*>(part.iov_base), part.iov_len});
    done += n;
    if (n < part.iov_len) break;
  }
  if (done != 0) {
    // Level-triggered: what was left unread, and an end behind it, are found in the next round.
    port_.on_change(id_);
    return static_cast<std::ptrdiff_t>(done);
  }
  return connection.ended() ? kEnded : kBlocked;
}

std::ptrdiff_t Port::Stream::write(std::span<const iovec> parts) {
  Connection& connection = port_.get(id_);
  if (connection.ended()) return kEnded;
  std::size_t done = 0;
  for (const iovec& part : parts) {
    const std::size_t n = connection.write({static_cast<const std::byte*>(part.iov_base), part.iov_len});
    done += n;
    if (n < part.iov_len) break;
  }
  return done != 0 ? static_cast<std::ptrdiff_t>(done) : kBlocked;
}

}  // namespace mobula::transport::sim

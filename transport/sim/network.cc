#include "transport/sim/network.h"

#include <utility>

namespace mobula::transport::sim {

SimNetwork::SimNetwork(std::uint64_t seed) : random_(seed) {}
SimNetwork::~SimNetwork() = default;

NodeIndex SimNetwork::add_node(Receiver receiver) {
  const auto index = static_cast<NodeIndex>(next_node_++);
  nodes_[index].receiver = std::move(receiver);
  return index;
}

void SimNetwork::remove_node(NodeIndex node) {
  nodes_.erase(node);
  std::erase_if(events_, [&](const auto& entry) {
    if (entry.second.owner != node) return false;
    timers_.erase(entry.first.second);
    return true;
  });
}

void SimNetwork::pause(NodeIndex node) {
  if (const auto it = nodes_.find(node); it != nodes_.end()) it->second.paused = true;
}

void SimNetwork::resume(NodeIndex node) {
  const auto it = nodes_.find(node);
  if (it == nodes_.end()) return;
  it->second.paused = false;
  std::vector<Event> held;
  held.swap(it->second.held);
  for (Event& event : held) {
    if (event.timer != 0) timers_.emplace(event.timer, now_);
    const std::uint64_t number = event.timer != 0 ? event.timer : next_event_++;
    events_.emplace(EventKey{now_, number}, std::move(event));
  }
}

LinkOptions& SimNetwork::link(NodeIndex from, NodeIndex to) {
  return links_.try_emplace({from, to}, default_).first->second;
}

void SimNetwork::cut_both(NodeIndex a, NodeIndex b) { link(a, b).cut = link(b, a).cut = true; }
void SimNetwork::heal_both(NodeIndex a, NodeIndex b) { link(a, b).cut = link(b, a).cut = false; }

void SimNetwork::send(NodeIndex from, NodeIndex to, ConstBytes bytes) {
  ++counts_.sent;
  const auto known = links_.find({from, to});
  const LinkOptions& options = known == links_.end() ? default_ : known->second;
  if (options.cut || chance() < options.loss) {
    ++counts_.lost;
    return;
  }
  const auto datagram = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  schedule(delay_of(options), {to, from, datagram, {}, 0});
  if (chance() < options.duplication) {
    ++counts_.duplicated;
    schedule(delay_of(options), {to, from, datagram, {}, 0});
  }
}

SimNetwork::Timer SimNetwork::at(NodeIndex owner, Time when, std::function<void()> callback) {
  const Timer timer = next_event_;
  when = std::max(when, now_);
  timers_.emplace(timer, when);
  schedule(when - now_, {owner, owner, nullptr, std::move(callback), timer});
  return timer;
}

void SimNetwork::cancel(Timer timer) {
  const auto it = timers_.find(timer);
  if (it == timers_.end()) {  // Perhaps held back by a pause.
    for (auto& [index, node] : nodes_) {
      std::erase_if(node.held, [&](const Event& event) { return event.timer == timer; });
    }
    return;
  }
  events_.erase({it->second, timer});
  timers_.erase(it);
}

std::optional<Time> SimNetwork::next_event() const {
  if (events_.empty()) return std::nullopt;
  return events_.begin()->first.first;
}

bool SimNetwork::step(Time limit) {
  if (events_.empty() || events_.begin()->first.first > limit) {
    now_ = std::max(now_, limit);
    return false;
  }
  auto entry = events_.extract(events_.begin());
  now_ = entry.key().first;
  timers_.erase(entry.key().second);
  run(std::move(entry.mapped()));
  return true;
}

std::size_t SimNetwork::run_until(Time limit) {
  std::size_t ran = 0;
  while (step(limit)) ++ran;
  return ran;
}

void SimNetwork::schedule(Duration delay, Event event) {
  events_.emplace(EventKey{now_ + delay, next_event_++}, std::move(event));
}

void SimNetwork::run(Event event) {
  const auto it = nodes_.find(event.owner);
  if (it == nodes_.end()) return;
  if (it->second.paused) return it->second.held.push_back(std::move(event));
  if (!event.datagram) return event.callback();
  ++counts_.delivered;
  const Receiver receiver = it->second.receiver;  // It may remove its node.
  receiver(event.from, *event.datagram);
}

Duration SimNetwork::delay_of(const LinkOptions& options) {
  const auto spread = static_cast<std::uint64_t>((options.delay_max - options.delay_min).count()) + 1;
  Duration delay = options.delay_min + Duration(static_cast<std::int64_t>(random_() % spread));
  if (options.reordering > 0 && chance() < options.reordering) delay += 10 * options.delay_max;
  return delay;
}

}  // namespace mobula::transport::sim

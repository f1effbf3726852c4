#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/machine.h"

namespace mobula::transport::sim {

using base::ConstBytes;
using base::Duration;
using base::Time;

enum class NodeIndex : std::uint32_t {};

// What a directed link does to datagrams.
struct LinkOptions {
  Duration delay_min = std::chrono::microseconds(5);   // Uniform between these two; a spread wider than
  Duration delay_max = std::chrono::microseconds(50);  // the distance of two sends reorders them.
  double loss = 0;
  double duplication = 0;  // The copy has a delay of its own.
  double reordering = 0;   // Share held back by ten times delay_max.
  bool cut = false;        // A partition, this direction only.
};

// A seeded network of datagrams in virtual time, all in one thread.
//
// Equal seeds and equal calls give equal histories: events are ordered by time and then by the order in
// which they were made, and all chance comes from one generator.
class SimNetwork {
 public:
  using Receiver = std::function<void(NodeIndex from, ConstBytes bytes)>;
  using Timer = std::uint64_t;

  explicit SimNetwork(std::uint64_t seed);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // A node hears datagrams until it is removed; its index is never used again.
  NodeIndex add_node(Receiver receiver);
  void remove_node(NodeIndex node);  // A crash: its timers and what is under way to it are gone.

  // Faults.  pause() holds back a node's datagrams and timers until resume(), as SIGSTOP does.
  void pause(NodeIndex node);
  void resume(NodeIndex node);
  void set_default(const LinkOptions& options) { default_ = options; }
  LinkOptions& link(NodeIndex from, NodeIndex to);  // Starts as a copy of the default.
  void cut_both(NodeIndex a, NodeIndex b);
  void heal_both(NodeIndex a, NodeIndex b);

  void send(NodeIndex from, NodeIndex to, ConstBytes bytes);
  Timer at(NodeIndex owner, Time when, std::function<void()> callback);
  void cancel(Timer timer);

  Time now() const { return now_; }
  std::optional<Time> next_event() const;
  // Moves the clock to the next event and runs it; false when there is none, or it is later than `limit`:
  // then the clock stands at the limit.
  bool step(Time limit);
  std::size_t run_until(Time limit);
  std::uint64_t random() { return random_(); }  // For users who must not bring chance of their own.

  struct Counts {
    std::uint64_t sent = 0, delivered = 0, lost = 0, duplicated = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Event {
    NodeIndex owner;
    NodeIndex from{};
    std::shared_ptr<const std::vector<std::byte>> datagram;  // Null for a timer.
    std::function<void()> callback;
    Timer timer = 0;
  };
  struct Node {
    Receiver receiver;
    bool paused = false;
    std::vector<Event> held;  // While paused, in order.
  };
  using EventKey = std::pair<Time, std::uint64_t>;

  void schedule(Duration delay, Event event);
  void run(Event event);
  double chance() { return static_cast<double>(random_() >> 11) * 0x1.0p-53; }
  Duration delay_of(const LinkOptions& options);

  std::mt19937_64 random_;
  Time now_{};
  std::uint64_t next_event_ = 1;
  std::uint32_t next_node_ = 0;
  LinkOptions default_;
  std::map<NodeIndex, Node> nodes_;
  std::map<std::pair<NodeIndex, NodeIndex>, LinkOptions> links_;
  std::map<EventKey, Event> events_;
  std::map<Timer, Time> timers_;  // Timer ids are event numbers.
  Counts counts_;
};

}  // namespace mobula::transport::sim

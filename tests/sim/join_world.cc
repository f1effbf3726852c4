#include "tests/sim/join_world.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "scheduler/membership.h"
#include "scheduler/news_batch.h"
#include "tests/sim/event_queue.h"

namespace mobula::sim {
namespace {

using base::Duration;
using base::NodeId;
using base::Time;

NodeId id_of(std::uint32_t node) { return NodeId::from_words(base::mix64(node + 1), 0, 0, node + 1); }

class JoinWorld {
 public:
  explicit JoinWorld(const JoinOptions& options) : options_(options), nodes_(options.nodes) {
    for (std::uint32_t i = 0; i < options.nodes; ++i) numbers_[id_of(i)] = i;
  }

  JoinFigures run() {
    const Time start = queue_.now();
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) queue_.at(start, [this, i] { begin(i); });
    constexpr auto kStep = std::chrono::milliseconds(1);
    constexpr auto kLongest = std::chrono::seconds(60);
    while (!all_known_ && queue_.now() - start < kLongest) queue_.run_until(queue_.now() + kStep);
    JoinFigures out;
    if (!all_up_ || !all_known_) return out;
    out.all_up = *all_up_ - start;
    out.all_known = *all_known_ - start;
    std::uint64_t sum = 0;
    for (const Node& node : nodes_) {
      sum += node.messages;
      out.messages_max = std::max(out.messages_max, node.messages);
    }
    out.messages_per_node = static_cast<double>(sum) / static_cast<double>(nodes_.size());
    return out;
  }

 private:
  struct Node {
    std::uint64_t messages = 0;
    std::uint64_t known = 0;  // Version of the newest view.
    bool accepted = false;
  };
  using Then = std::function<void()>;

  void count(std::uint32_t node) {
    if (!all_known_) ++nodes_[node].messages;
  }
  // A message to the GCS, which handles it in its turn.
  void to_gcs(std::uint32_t node, Then handle) {
    count(node);
    queue_.after(options_.link, [this, handle = std::move(handle)] {
      busy_until_ = std::max(busy_until_, queue_.now()) + options_.handle;
      queue_.at(busy_until_, handle);
    });
  }
  void to_node(std::uint32_t node, Then handle) {
    count(node);
    busy_until_ = std::max(busy_until_, queue_.now()) + options_.send;
    queue_.at(busy_until_ + options_.link, std::move(handle));
  }
  void handshake(std::uint32_t node, Then done) {
    to_node(node, [this, node, done = std::move(done)] {          // The nonce.
      to_gcs(node, [this, node, done] { to_node(node, done); });  // Its proof, ours.
    });
  }

  // Rank 0 answers as the GCS does, which is no better off for it.
  void begin(std::uint32_t node) {
    to_gcs(node, [this, node] { to_node(node, [this, node] { connect(node); }); });
  }
  void connect(std::uint32_t node) {
    handshake(node, [this, node] { to_gcs(node, [this, node] { enter(node); }); });
  }
  void enter(std::uint32_t node) {
    base::Resources total;
    total.set("cpus", base::Amount::of(1));
    step(scheduler::NodeRegistered{id_of(node), 1, "", std::move(total), {}});
  }
  void accepted(std::uint32_t node) {
    ++readers_;
    const std::uint64_t version = membership_.version();
    to_node(node, [this, node, version] {
      nodes_[node].accepted = true;
      learn(node, version);
      handshake(node, [this, node] { beat(node); });
    });
  }
  void beat(std::uint32_t node) {
    if (all_known_) return;
    to_gcs(node, [this, node] {
      step(scheduler::NodeHeartbeat{id_of(node), 1, 1, {}});
      const std::uint64_t version = membership_.version();
      to_node(node, [this, node, version] { learn(node, version); });
    });
    queue_.after(options_.beat_every, [this, node] { beat(node); });
  }
  void learn(std::uint32_t node, std::uint64_t version) {
    const std::uint64_t before = std::exchange(nodes_[node].known, std::max(nodes_[node].known, version));
    if (final_version_ == 0 || before >= final_version_ || nodes_[node].known < final_version_) return;
    if (++informed_ == nodes_.size()) all_known_ = queue_.now();
  }

  void step(scheduler::MembershipInput input) {
    base::Outbox<scheduler::MembershipOutput> out;
    membership_.step(queue_.now(), std::move(input), out);
    bool news = false;
    for (auto& output : out) {
      if (const auto* node = std::get_if<scheduler::NodeAccepted>(&output)) accepted(numbers_.at(node->node));
      const auto* changed = std::get_if<scheduler::NodeChanged>(&output);
      if (changed == nullptr) continue;
      news = true;
      if (changed->view.state == scheduler::NodeState::kAlive) ++untold_;
    }
    if (!news) return;
    if (up_ + untold_ == nodes_.size() && final_version_ == 0) final_version_ = membership_.version();
    base::Outbox<scheduler::NewsOutput> due;
    batch_.step(queue_.now(), {readers_}, due);
    tell(due);
  }
  void tell(const base::Outbox<scheduler::NewsOutput>& due) {
    if (!due.empty()) {
      up_ += std::exchange(untold_, 0);
      const std::uint64_t version = membership_.version();
      for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
        // Who has been answered has a channel.
        if (nodes_[i].accepted) to_node(i, [this, i, version] { learn(i, version); });
      }
      if (up_ == nodes_.size() && !all_up_) all_up_ = std::max(busy_until_, queue_.now());
    }
    const auto next = batch_.next_deadline();
    if (!next || *next == armed_) return;
    armed_ = *next;
    queue_.at(*next, [this] {
      base::Outbox<scheduler::NewsOutput> now_due;
      batch_.tick(queue_.now(), now_due);
      tell(now_due);
    });
  }

  const JoinOptions options_;
  EventQueue queue_;
  scheduler::MembershipMachine membership_{scheduler::MembershipLimits{}};
  scheduler::NewsBatch batch_{scheduler::NewsLimits{}};
  std::vector<Node> nodes_;
  std::map<NodeId, std::uint32_t> numbers_;
  Time busy_until_{};
  Time armed_{};
  std::size_t readers_ = 0;
  std::size_t untold_ = 0, up_ = 0, informed_ = 0;
  std::uint64_t final_version_ = 0;
  std::optional<Time> all_up_, all_known_;
};

}  // namespace

JoinFigures simulate_join(const JoinOptions& options) { return JoinWorld(options).run(); }

}  // namespace mobula::sim

#include "tests/collective/prover.h"

#include <deque>
#include <map>
#include <set>
#include <stdexcept>

namespace mobula::collective::test {
namespace {

bool is_receive(StepKind kind) {
  return kind == StepKind::kReceive || kind == StepKind::kReceiveReduce || kind == StepKind::kReceiveReduceFirst;
}

struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Rank {
 public:
  Rank(int rank, const World& world)
      : rank_(rank),
        plan_(world.plan(rank)),
        lengths_(world.lengths(rank)),
        output_(lengths_.output),
        input_(lengths_.in_place_at ? 0 : lengths_.input),
        scratch_(plan_.scratch) {
    if (plan_.round_ends.empty() != plan_.steps.empty() ||
        (!plan_.round_ends.empty() && plan_.round_ends.back() != plan_.steps.size())) {
      fail("rounds do not cover the steps");
    }
    for (std::size_t i = 0; i < output_.size(); ++i) {
      if (world.before) output_[i] = world.before(rank, i);
    }
    for (std::size_t i = 0; i < lengths_.input; ++i) {
      Symbol own{i, {}};
      own.ranks.set(static_cast<std::size_t>(rank));
      at({Buffer::kInput, i, 1}, 0) = own;
    }
  }

  bool done() const { return round_ == plan_.rounds(); }
  const Memory& output() const { return output_; }

  using Channels = std::map<std::pair<int, int>, std::deque<Memory>>;

  // As far as it can go; true: something happened.
  bool advance(Channels& channels) {
    bool moved = false;
    while (!done()) {
      if (!entered_) {
        enter(channels);
        entered_ = moved = true;
      }
      for (std::size_t i = begin(); i < end(); ++i) {
        const Step& step = plan_.steps[i];
        if (!is_receive(step.kind) || received_.contains(i)) continue;
        auto& channel = channels[{step.peer, rank_}];
        if (channel.empty()) continue;
        take(step, channel.front());
        channel.pop_front();
        received_.insert(i);
        moved = true;
      }
      if (received_.size() != receives_) return moved;
      // Without any buffer on the way: a round ends only when what it sends has been taken.
      for (std::size_t i = begin(); i < end(); ++i) {
        const Step& step = plan_.steps[i];
        if (step.kind == StepKind::kSend && !channels[{rank_, step.peer}].empty()) return moved;
      }
      for (std::size_t i = begin(); i < end(); ++i) local(plan_.steps[i]);
      ++round_;
      entered_ = false;
      moved = true;
    }
    return moved;
  }

 private:
  std::size_t begin() const { return round_ == 0 ? 0 : plan_.round_ends[round_ - 1]; }
  std::size_t end() const { return plan_.round_ends[round_]; }

  [[noreturn]] void fail(const std::string& what) const {
    throw Wrong("rank " + std::to_string(rank_) + ", round " + std::to_string(round_) + ": " + what + "\n" +
                plan_.to_string());
  }

  std::optional<Symbol>& at(const Range& r, std::size_t i) {
    std::size_t where = r.offset + i;
    Memory* memory = &output_;
    if (r.buffer == Buffer::kScratch) memory = &scratch_;
    if (r.buffer == Buffer::kInput) {
      if (where >= lengths_.input) fail("outside the input");
      if (lengths_.in_place_at) {
        where += *lengths_.in_place_at;
      } else {
        memory = &input_;
      }
    }
    if (where >= memory->size()) fail("outside a buffer");
    return (*memory)[where];
  }

  // [first, last) of one number line on which no two memories overlap.
  std::pair<std::size_t, std::size_t> line(const Range& r) const {
    std::size_t base = 0;
    if (r.buffer == Buffer::kScratch) base = std::size_t{1} << 40;
    if (r.buffer == Buffer::kInput) base = lengths_.in_place_at ? *lengths_.in_place_at : std::size_t{1} << 50;
    return {base + r.offset, base + r.offset + r.count};
  }
  bool overlap(const Range& a, const Range& b) const {
    const auto [a0, a1] = line(a);
    const auto [b0, b1] = line(b);
    return a0 < b1 && b0 < a1;
  }

  void enter(Channels& channels) {
    std::set<int> to;
    std::set<int> from;
    received_.clear();
    receives_ = 0;
    for (std::size_t i = begin(); i < end(); ++i) {
      const Step& step = plan_.steps[i];
      if (step.kind == StepKind::kSend) {
        if (!to.insert(step.peer).second) fail("two messages to one peer");
        Memory message;
        for (std::size_t k = 0; k < step.from.count; ++k) message.push_back(read(step.from, k));
        channels[{rank_, step.peer}].push_back(std::move(message));
      }
      if (is_receive(step.kind)) {
        ++receives_;
        if (!from.insert(step.peer).second) fail("two messages from one peer");
      }
    }
    for (std::size_t i = begin(); i < end(); ++i) {
      for (std::size_t j = begin(); j < end(); ++j) {
        const Step& a = plan_.steps[i];
        const Step& b = plan_.steps[j];
        if (i == j || !is_receive(a.kind) || a.to.count == 0) continue;
        if (b.kind == StepKind::kSend && overlap(a.to, b.from)) fail("it receives into what it sends");
        if (is_receive(b.kind) && overlap(a.to, b.to)) fail("two messages land on each other");
      }
    }
  }

  std::optional<Symbol> read(const Range& r, std::size_t i) {
    const auto& symbol = at(r, i);
    if (!symbol) fail("reads what is undefined");
    return symbol;
  }

  void combine(std::optional<Symbol>& into, const std::optional<Symbol>& with) {
    if (!into || !with) fail("reduces what is undefined");
    if (into->index != with->index) fail("reduces different elements");
    if ((into->ranks & with->ranks).any()) fail("counts a rank twice");
    into->ranks |= with->ranks;
  }

  void take(const Step& step, const Memory& message) {
    if (message.size() != step.to.count) fail("a message of another length");
    for (std::size_t i = 0; i < message.size(); ++i) {
      auto& to = at(step.to, i);
      if (step.kind == StepKind::kReceive) {
        to = message[i];
      } else {
        combine(to, message[i]);
      }
    }
  }

  void local(const Step& step) {
    if (step.kind == StepKind::kSend || is_receive(step.kind)) return;
    if (step.from.count != step.to.count) fail("a copy between different lengths");
    if (step.from.count != 0 && overlap(step.from, step.to) && line(step.from) != line(step.to)) {
      fail("a copy onto a part of itself");
    }
    for (std::size_t i = 0; i < step.from.count; ++i) {
      const auto value = read(step.from, i);
      auto& to = at(step.to, i);
      if (step.kind == StepKind::kCopy) {
        to = value;
      } else {
        combine(to, value);
      }
    }
  }

  const int rank_;
  const Plan plan_;
  const Lengths lengths_;
  Memory output_;
  Memory input_;
  Memory scratch_;
  std::size_t round_ = 0;
  bool entered_ = false;
  std::size_t receives_ = 0;
  std::set<std::size_t> received_;
};

}  // namespace

std::string prove(const World& world) {
  try {
    std::vector<Rank> ranks;
    ranks.reserve(static_cast<std::size_t>(world.size));
    for (int r = 0; r < world.size; ++r) ranks.emplace_back(r, world);
    Rank::Channels channels;
    for (bool moved = true; moved;) {
      moved = false;
      for (Rank& rank : ranks) moved = rank.advance(channels) || moved;
    }
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      if (!ranks[r].done()) return "rank " + std::to_string(r) + " waits for ever";
      for (std::size_t i = 0; i < ranks[r].output().size(); ++i) {
        const auto wanted = world.after(static_cast<int>(r), i);
        if (!wanted) continue;
        const auto& got = ranks[r].output()[i];
        if (!got) return "rank " + std::to_string(r) + ", element " + std::to_string(i) + " is undefined";
        if (*got != *wanted) {
          return "rank " + std::to_string(r) + ", element " + std::to_string(i) + " holds element " +
                 std::to_string(got->index) + " of ranks " + got->ranks.to_string();
        }
      }
    }
  } catch (const Wrong& wrong) {
    return wrong.what();
  }
  return {};
}

}  // namespace mobula::collective::test

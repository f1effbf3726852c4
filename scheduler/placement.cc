#include "scheduler/placement.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace mobula::scheduler {
namespace {

using base::CpuSet;
using base::NodeId;
using base::TopologyLevel;

// The place of a node in the network, for ordering: nodes of one switch stand together.
using NetworkPlace = std::tuple<std::string, std::string, std::string, std::string, NodeId>;

std::string label_or_none(const Labels& labels, const std::string& key) {
  const auto it = labels.find(key);
  return it == labels.end() ? std::string() : it->second;
}

NetworkPlace network_place(const PlacementNode& node) {
  const auto at = [&](TopologyLevel level) { return label_or_none(node.labels, base::topology_label(level)); };
  return {at(TopologyLevel::kSpine), at(TopologyLevel::kSwitch), at(TopologyLevel::kRack), at(TopologyLevel::kNvlink),
          node.room.node()};
}

// Tries to place, domain by domain, on nodes of its own copy.
class Placer {
 public:
  // A domain of the level: one part of one node, or whole nodes, in order.
  struct Domain {
    std::vector<std::size_t> nodes;
    CpuSet within;           // Of a part of a node; else empty.
    std::uint32_t used = 0;  // Bundles in it.
  };

  Placer(const GroupWish& wish, const std::vector<PlacementNode>& nodes, const std::vector<std::size_t>& eligible,
         const std::vector<PlacedBundle>& placed)
      : wish_(wish), nodes_(nodes) {
    make_domains(eligible);
    for (const PlacedBundle& p : placed) count_placed(p);
  }

  const std::vector<Domain>& domains() const { return domains_; }

  // In the order of `bundles`; the first one that finds no place ends it.
  std::optional<std::uint32_t> place(const std::vector<std::uint32_t>& bundles) {
    if (wish_.strategy == GroupStrategy::kStrictPack) return place_in_one(bundles);
    for (std::size_t i = 0; i < bundles.size(); ++i) {
      if (!place_next(bundles, i)) return bundles[i];
    }
    return std::nullopt;
  }
  std::vector<PlacedBundle> take_result() { return std::move(result_); }

 private:
  const NodeRoom& room(std::size_t n) const {
    const auto it = changed_.find(n);
    return it == changed_.end() ? nodes_[n].room : it->second;
  }
  NodeRoom& change(std::size_t n) { return changed_.try_emplace(n, nodes_[n].room).first->second; }

  void make_domains(const std::vector<std::size_t>& eligible) {
    if (wish_.level.above_node()) {
      std::map<std::string, std::size_t> by_value;
      for (const std::size_t n : eligible) {
        const std::string value = label_or_none(nodes_[n].labels, wish_.level.label);
        // A node that nobody has said anything of shares a domain with none.
        const std::size_t d =
            value.empty() ? domains_.size() : by_value.try_emplace(value, domains_.size()).first->second;
        if (d == domains_.size()) domains_.emplace_back();
        domains_[d].nodes.push_back(n);
      }
      return;
    }
    const bool whole = wish_.level.level == TopologyLevel::kNode;
    for (const std::size_t n : eligible) {
      const NodeRoom& room = nodes_[n].room;
      for (std::uint16_t d = 0; d < room.domains(wish_.level.level); ++d) {
        domains_.push_back({{n}, whole ? CpuSet() : room.domain(wish_.level.level, d), 0});
      }
    }
  }

  // A bundle that was placed before counts for the domains that it touches.
  void count_placed(const PlacedBundle& p) {
    for (Domain& d : domains_) {
      const bool here =
          std::any_of(d.nodes.begin(), d.nodes.end(), [&](std::size_t n) { return nodes_[n].room.node() == p.node; });
      if (here && (p.pieces.pus.empty() || d.within.empty() || d.within.intersects(p.pieces.pus))) ++d.used;
    }
  }

  std::optional<std::pair<std::size_t, Pieces>> fit(std::uint32_t bundle, const Domain& domain) const {
    const base::Resources& shape = wish_.bundles[bundle];
    for (const std::size_t n : domain.nodes) {
      const CpuSet& within = domain.within.empty() ? room(n).all_pus() : domain.within;
      if (auto pieces = room(n).choose(shape, within)) return std::pair(n, std::move(*pieces));
    }
    return std::nullopt;
  }

  bool put(std::uint32_t bundle, std::size_t d) {
    auto found = fit(bundle, domains_[d]);
    if (!found) return false;
    NodeRoom& taken = change(found->first);
    taken.take(wish_.bundles[bundle], found->second);
    result_.push_back({bundle, taken.node(), std::move(found->second)});
    ++domains_[d].used;
    current_ = d;
    return true;
  }

  // How many of the bundles from `first` on a domain would take, one after the other.
  std::size_t takes(const std::vector<std::uint32_t>& bundles, std::size_t first, std::size_t d) const {
    std::map<std::size_t, NodeRoom> rooms;
    std::size_t count = 0;
    for (std::size_t i = first; i < bundles.size(); ++i, ++count) {
      const base::Resources& shape = wish_.bundles[bundles[i]];
      bool found = false;
      for (const std::size_t n : domains_[d].nodes) {
        const auto copy = rooms.find(n);
        const NodeRoom& here = copy == rooms.end() ? room(n) : copy->second;
        const CpuSet& within = domains_[d].within.empty() ? here.all_pus() : domains_[d].within;
        if (auto pieces = here.choose(shape, within)) {
          rooms.try_emplace(n, here).first->second.take(shape, *pieces);
          found = true;
          break;
        }
      }
      if (!found) break;
    }
    return count;
  }

  bool place_next(const std::vector<std::uint32_t>& bundles, std::size_t i) {
    const bool pack = wish_.strategy == GroupStrategy::kPack;
    if (pack && current_ && put(bundles[i], *current_)) return true;
    if (pack) {  // Then another domain that is in use already, before a new one is begun.
      for (std::size_t d = 0; d < domains_.size(); ++d) {
        if (domains_[d].used != 0 && put(bundles[i], d)) return true;
      }
      return begin_domain(bundles, i) || put_anywhere(bundles[i]);
    }
    // The least used first, in order: rank 0 in the first domain, rank 1 in the second.
    std::vector<std::size_t> order(domains_.size());
    for (std::size_t d = 0; d < order.size(); ++d) order[d] = d;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return domains_[a].used < domains_[b].used; });
    for (const std::size_t d : order) {
      if (wish_.strategy == GroupStrategy::kStrictSpread && domains_[d].used != 0) return false;
      if (put(bundles[i], d)) return true;
    }
    return wish_.strategy == GroupStrategy::kSpread && put_anywhere(bundles[i]);
  }

  // The domain that takes most of what is left; of equal ones the next in order.
  bool begin_domain(const std::vector<std::uint32_t>& bundles, std::size_t i) {
    std::optional<std::size_t> best;
    std::size_t most = 0;
    for (std::size_t k = 0; k < domains_.size(); ++k) {
      const std::size_t d = (k + (current_ ? *current_ + 1 : 0)) % domains_.size();
      if (domains_[d].used != 0) continue;
      const std::size_t count = takes(bundles, i, d);
      if (count <= most) continue;
      best = d;
      most = count;
      if (i + count == bundles.size()) break;  // All: no other takes more.
    }
    return best && put(bundles[i], *best);
  }

  // A bundle larger than any domain of a level inside the node: a soft wish is met as nearly as can be.
  bool put_anywhere(std::uint32_t bundle) {
    if (wish_.level.above_node() || wish_.level.level == TopologyLevel::kNode) return false;
    for (const Domain& d : domains_) {
      const std::size_t n = d.nodes.front();
      auto pieces = room(n).choose(wish_.bundles[bundle], room(n).all_pus());
      if (!pieces) continue;
      change(n).take(wish_.bundles[bundle], *pieces);
      result_.push_back({bundle, room(n).node(), std::move(*pieces)});
      return true;
    }
    return false;
  }

  // Of the domains that hold all, the one with the least room: large ones stay whole.  Bundles that are placed bind
  // the rest to their domain.
  std::optional<std::uint32_t> place_in_one(const std::vector<std::uint32_t>& bundles) {
    const bool bound = std::any_of(domains_.begin(), domains_.end(), [](const Domain& d) { return d.used != 0; });
    std::optional<std::size_t> best;
    std::int64_t least = 0;
    std::size_t most = 0;
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      if (bound && domains_[d].used == 0) continue;
      const std::size_t count = takes(bundles, 0, d);
      most = std::max(most, count);
      if (count != bundles.size()) continue;
      const std::int64_t room = room_of(domains_[d]);
      if (best && least <= room) continue;
      best = d;
      least = room;
    }
    if (!best) return bundles[most];
    for (const std::uint32_t bundle : bundles) put(bundle, *best);
    return std::nullopt;
  }

  std::int64_t room_of(const Domain& domain) const {
    std::int64_t out = 0;
    for (const std::size_t n : domain.nodes) {
      out += domain.within.empty() || !room(n).binds()
                 ? room(n).room().get("cpus").units
                 : std::int64_t{(room(n).free_pus() & domain.within).count()} * base::Amount::kPerOne;
      out += room(n).room().get("gpus").units;
    }
    return out;
  }

  const GroupWish& wish_;
  const std::vector<PlacementNode>& nodes_;
  std::map<std::size_t, NodeRoom> changed_;  // Those that something was taken from.
  std::vector<Domain> domains_;
  std::optional<std::size_t> current_;
  std::vector<PlacedBundle> result_;
};

// How much bigger than another: by its most demanding part.
std::tuple<std::int64_t, std::int64_t, std::int64_t> size_of(const base::Resources& shape) {
  std::int64_t others = 0;
  for (const auto& [name, amount] : shape.all()) others += name != "cpus" && name != "gpus" ? amount.units / 1000 : 0;
  return {shape.get("gpus").units, shape.get("cpus").units, others};
}

std::string amount_text(const std::string& name, base::Amount amount) {
  base::Resources r;
  r.set(name, amount);
  return amount.units == 0 ? "no " + name : r.to_string();
}

// No node has the labels: names those that the nearest one lacks.
void explain_labels(const GroupWish& wish, const std::vector<PlacementNode>& nodes, const std::string& which,
                    PlacementFailure& out) {
  std::size_t least = wish.labels.size() + 1;
  std::string lacking;
  for (const PlacementNode& node : nodes) {
    std::string text;
    std::size_t broken = 0;
    for (const LabelRule& rule : wish.labels) {
      if (rule.holds(node.labels)) continue;
      ++broken;
      const std::string there = label_or_none(node.labels, rule.key);
      text += (text.empty() ? "label " : ", label ") + rule.to_string() + " wanted, " +
              (node.labels.contains(rule.key) ? "\"" + there + "\"" : "none") + " there";
    }
    if (broken == 0 || broken >= least) continue;  // Without a broken one: not usable now.
    least = broken;
    lacking = text;
    out.nearest = node.room.node();
  }
  out.what = which + (lacking.empty() ? " finds no node that is alive"
                                      : " finds no node with the labels asked for: " + lacking);
}

// Names the resource that the nearest node lacks, or, where each node has enough, the strategy.
PlacementFailure explain(const GroupWish& wish, std::uint32_t bundle, const std::vector<PlacementNode>& nodes,
                         const std::vector<std::size_t>& eligible, std::size_t domains) {
  const std::size_t count = wish.bundles.size();
  PlacementFailure out;
  out.bundle = bundle;
  const base::Resources& shape = wish.bundles[bundle];
  const std::string which = "bundle " + std::to_string(bundle) + " (" + shape.to_string() + ")";
  if (eligible.empty()) {
    explain_labels(wish, nodes, which, out);
    return out;
  }
  std::optional<std::pair<std::size_t, std::int64_t>> least;
  std::string lacking;
  for (const std::size_t n : eligible) {
    const PlacementNode& node = nodes[n];
    std::size_t short_of = 0;
    std::int64_t worst = 0;
    std::string text;
    for (const auto& [name, amount] : shape.all()) {
      const base::Amount there = node.room.room().get(name);
      if (there >= amount) continue;
      ++short_of;
      worst = std::max(worst, (amount.units - there.units) / std::max<std::int64_t>(amount.units / 1000, 1));
      text +=
          (text.empty() ? "" : ", ") + amount_text(name, amount) + " wanted, " + amount_text(name, there) + " there";
    }
    if (least && *least <= std::pair(short_of, worst)) continue;
    least = {short_of, worst};
    out.nearest = node.room.node();
    lacking = text;
  }
  if (!lacking.empty()) {
    out.what = which + " fits on no node: " + lacking + " on the nearest, " + out.nearest->short_hex();
    return out;
  }
  const std::string level = wish.level.to_string();
  switch (wish.strategy) {
    case GroupStrategy::kStrictPack:
      out.what = which + " does not fit into one " + level + " with the other " + std::to_string(count - 1);
      break;
    case GroupStrategy::kStrictSpread:
      out.what = which + " finds no " + level + " of its own: " + std::to_string(count) + " bundles, " +
                 std::to_string(domains) + " of these";
      break;
    default: out.what = which + " finds no room beside the others"; break;
  }
  return out;
}

}  // namespace

const char* name_of(GroupStrategy strategy) {
  switch (strategy) {
    case GroupStrategy::kPack: return "PACK";
    case GroupStrategy::kSpread: return "SPREAD";
    case GroupStrategy::kStrictPack: return "STRICT_PACK";
    case GroupStrategy::kStrictSpread: return "STRICT_SPREAD";
  }
  return "";
}

bool network_before(const PlacementNode& a, const PlacementNode& b) { return network_place(a) < network_place(b); }

Placement place_group(const GroupWish& wish, const std::vector<std::uint32_t>& bundles,
                      const std::vector<PlacedBundle>& placed, const std::vector<PlacementNode>& nodes) {
  std::vector<std::size_t> eligible;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    if (nodes[n].usable && std::all_of(wish.labels.begin(), wish.labels.end(),
                                       [&](const LabelRule& rule) { return rule.holds(nodes[n].labels); })) {
      eligible.push_back(n);
    }
  }
  Placement out;
  Placer by_rank(wish, nodes, eligible, placed);
  const auto stuck = by_rank.place(bundles);
  if (!stuck) {
    out.bundles = by_rank.take_result();
  } else {
    std::vector<std::uint32_t> by_size = bundles;
    std::stable_sort(by_size.begin(), by_size.end(), [&](std::uint32_t a, std::uint32_t b) {
      return size_of(wish.bundles[a]) > size_of(wish.bundles[b]);
    });
    Placer again(wish, nodes, eligible, placed);
    if (again.place(by_size)) {
      out.failure = explain(wish, *stuck, nodes, eligible, by_rank.domains().size());
      return out;
    }
    out.bundles = again.take_result();
  }
  std::sort(out.bundles.begin(), out.bundles.end(),
            [](const PlacedBundle& a, const PlacedBundle& b) { return a.bundle < b.bundle; });
  return out;
}

}  // namespace mobula::scheduler

#include "collective/succession.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mobula::collective {
namespace {

constexpr std::size_t kTextMax = 2000;
constexpr const char* kDamaged = "the log of the group's epochs is damaged";

}  // namespace

const char* name_of(Recovery how) { return how == Recovery::kShrink ? "shrink()" : "rebuild()"; }

Entry Entry::propose(Proposal proposal) {
  Entry out;
  out.kind = Kind::kProposal;
  out.proposal = std::move(proposal);
  return out;
}
Entry Entry::commit() { return {}; }
Entry Entry::end(std::string what) {
  Entry out;
  out.kind = Kind::kEnd;
  out.what = std::move(what);
  return out;
}

void encode(const Entry& entry, base::Buffer& out) {
  out.put(static_cast<std::uint8_t>(entry.kind));
  out.put(static_cast<std::uint8_t>(entry.proposal.how));
  out.put(static_cast<std::uint32_t>(entry.proposal.lost.size()));
  for (const auto& [rank, incarnation] : entry.proposal.lost) {
    out.put(static_cast<std::int32_t>(rank));
    out.put(incarnation);
  }
  out.put_string(std::string_view(entry.what).substr(0, kTextMax));
}

std::optional<Entry> decode_entry(base::ConstBytes bytes) {
  base::Cursor in(bytes);
  const auto kind = in.get<std::uint8_t>();
  const auto how = in.get<std::uint8_t>();
  if (kind < 1 || kind > 3 || how < 1 || how > 2) return std::nullopt;
  Entry entry{static_cast<Entry::Kind>(kind), {static_cast<Recovery>(how), {}}, {}};
  const auto lost = in.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < lost && in.ok(); ++i) {
    const auto rank = in.get<std::int32_t>();
    entry.proposal.lost[rank] = in.get<std::uint64_t>();
  }
  entry.what = in.get_string();
  if (!in.ok() || in.left() != 0) return std::nullopt;
  return entry;
}

Succession::Succession(const Start& start)
    : place_(start.place),
      how_(start.newcomer ? Recovery::kRebuild : start.how),
      lost_(start.lost),
      incarnation_(start.incarnation),
      newcomer_(start.newcomer),
      originals_(static_cast<std::size_t>(start.place.size)),
      slot_{start.epoch, start.slot},
      doing_(Doing::kWalking) {
  std::iota(originals_.begin(), originals_.end(), 0);
  if (!newcomer_) {
    begin();
  } else {
    lost_ = {{self(), incarnation_}};
    read();
  }
}

std::vector<int> Succession::members_of(const Proposal& proposal) const {
  std::vector<int> out;
  for (int rank = 0; rank < place_.size; ++rank) {
    if (proposal.how == Recovery::kRebuild || !proposal.lost.contains(rank)) out.push_back(rank);
  }
  return out;
}

std::vector<int> Succession::originals(const std::vector<int>& ranks) const {
  std::vector<int> out;
  for (const int rank : ranks) out.push_back(originals_[static_cast<std::size_t>(rank)]);
  return out;
}

void Succession::begin() {
  doing_ = Doing::kBeginning;
  open_.reset();
  write(Entry::propose({how_, lost_}));
}

void Succession::leave(std::string what, bool left_out) { next_ = Failed{std::move(what), left_out, slot_.number}; }

void Succession::finish(const Proposal& committed) {
  next_ = Next{slot_.epoch + slot_.number - 1, originals(members_of(committed))};
}

void Succession::on_slot(const std::optional<Entry>& entry) {
  if (doing_ == Doing::kWalking) return walk(entry);
  if (doing_ == Doing::kLooking) return look(entry);
  if (!entry) return leave(kDamaged, false);  // Something was written there.
  if (doing_ == Doing::kDeciding) return decide(*entry);
  switch (entry->kind) {
    case Entry::Kind::kProposal: return consider(entry->proposal);
    case Entry::Kind::kEnd: ++slot_.number; return begin();
    case Entry::Kind::kCommit: return leave(kDamaged, false);
  }
}

// ---- a process that was started again: what has become of the group meanwhile?

void Succession::walk(const std::optional<Entry>& entry) {
  if (!entry) {
    if (!open_) return begin();
    --slot_.number;
    return consider(Proposal(*open_));
  }
  // Whoever takes this process for its last run, and waits for that, is to hear that it has ended.
  if (open_ && std::ranges::count(members_of(*open_), self()) != 0) {
    next_ = spoil(*open_, "it was started again");
    found_ = *entry;
    return;
  }
  walk_on(*entry);
}

void Succession::walk_on(const Entry& entry) {
  if (entry.kind == Entry::Kind::kCommit) return open_ ? pass(*open_) : leave(kDamaged, false);
  open_ = entry.kind == Entry::Kind::kProposal ? std::optional(entry.proposal) : std::nullopt;
  ++slot_.number;
  read();
}

Succession::Spoil Succession::spoil(const Proposal& proposal, std::string what) const {
  const auto incarnation = newcomer_ ? std::optional(incarnation_) : std::nullopt;
  return {slot_.epoch + slot_.number - 1, originals(members_of(proposal)), incarnation, std::move(what)};
}

// On to the epoch that was decided.
void Succession::pass(const Proposal& committed) {
  const std::vector<int> members = members_of(committed);
  const auto at = std::ranges::find(members, self());
  if (at == members.end()) return leave("the others have gone on without this rank", true);
  const int rank = static_cast<int>(at - members.begin());
  originals_ = originals(members);
  place_ = {rank, static_cast<int>(members.size())};
  lost_ = {{rank, incarnation_}};
  slot_ = {slot_.epoch + slot_.number - 1, 1};
  open_.reset();
  doing_ = Doing::kWalking;
  read();
}

// ---- a proposal at slot_

void Succession::consider(const Proposal& proposal) {
  open_ = proposal;
  ++slot_.number;
  const auto mine = proposal.lost.find(self());
  const bool is_lost = mine != proposal.lost.end();
  if (is_lost && (proposal.how == Recovery::kShrink || mine->second > incarnation_)) {
    return leave("the others hold this rank for dead and go on without it", true);
  }
  if (proposal.how != how_) {
    if (newcomer_) return leave("the others shrink the group; a member that was started again is no part of it", true);
    doing_ = Doing::kLooking;
    return read();
  }
  const std::uint32_t epoch = slot_.epoch + slot_.number - 1;
  if (newcomer_ && !is_lost) {
    // It was written by members that do not know yet that this rank's last run has ended.
    Proposal better = proposal;
    better.lost[self()] = incarnation_;
    spoil_ = spoil(proposal, "it was started again");
    doing_ = Doing::kDeciding;
    return write(Entry::propose(std::move(better)));
  }
  Meet meet{epoch, originals(members_of(proposal)), {}};
  if (how_ == Recovery::kRebuild) meet.incarnations = proposal.lost;
  next_ = std::move(meet);
}

// The proposal before slot_ is of the other kind: has that come to an end?
void Succession::look(const std::optional<Entry>& entry) {
  if (!entry) {
    const std::string what = "some members called " + std::string(name_of(how_)) + ", others " + name_of(open_->how);
    spoil_ = spoil(*open_, what);
    doing_ = Doing::kDeciding;
    return write(Entry::end(what));
  }
  switch (entry->kind) {
    case Entry::Kind::kProposal: return consider(entry->proposal);
    case Entry::Kind::kEnd: ++slot_.number; return begin();
    case Entry::Kind::kCommit: return leave(kDamaged, false);  // Not without this member.
  }
}

// ---- what has become of the proposal before slot_

void Succession::on_met() {
  doing_ = Doing::kDeciding;
  write(Entry::commit());
}

void Succession::on_failed(const Losses& losses) {
  doing_ = Doing::kDeciding;
  if (losses.dead.empty()) return write(Entry::end(losses.what));
  Proposal better = *open_;
  const std::vector<int> members = members_of(better);
  for (const auto& [rank, incarnation] : losses.dead) {
    const int before = members[static_cast<std::size_t>(rank)];
    std::uint64_t& at_least = better.lost[before];
    at_least = std::max(at_least, incarnation);
    if (how_ == Recovery::kRebuild && losses.gone.contains(rank)) {
      return write(Entry::end("rank " + std::to_string(before) + " cannot be rebuilt: " + losses.what));
    }
  }
  write(Entry::propose(std::move(better)));
}

void Succession::decide(const Entry& entry) {
  if (entry.kind == Entry::Kind::kCommit) {
    if (!spoil_) return finish(*open_);
    spoil_.reset();  // It was decided before this member came: with its last run, which has died since.
    return newcomer_ ? pass(*open_) : leave(kDamaged, false);
  }
  if (spoil_) {
    next_ = *std::exchange(spoil_, std::nullopt);
    found_ = entry;
    return;
  }
  if (entry.kind == Entry::Kind::kProposal) return consider(entry.proposal);
  ++slot_.number;
  leave(entry.what, false);
}

void Succession::on_spoilt() {
  const Entry found = std::exchange(found_, {});
  if (doing_ == Doing::kWalking) return walk_on(found);
  decide(found);
}

}  // namespace mobula::collective

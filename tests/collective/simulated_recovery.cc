#include "tests/collective/simulated_recovery.h"

#include <algorithm>
#include <numeric>
#include <ranges>

#include "collective/algorithms.h"

namespace mobula::collective::test {

constexpr std::uint64_t kGroup = 7;

// One process: what collectives.cc is to a real one.
class SimulatedRecovery::Process {
 public:
  struct Member {
    int original = 0;
    std::uint64_t incarnation_min = 0;
    Process* run = nullptr;
  };
  // A group in one epoch.
  struct Epoch final : Wire {
    Epoch(Process& process, std::uint32_t epoch, Place place)
        : owner(process), group({kGroup, epoch}, place), members(static_cast<std::size_t>(place.size)) {}
    bool send(int rank, const MessageHeader& header, ConstBytes payload) override {
      Process* const to = members[static_cast<std::size_t>(rank)].run;
      if (to == nullptr) return false;
      if (owner.world.random(8) == 0) {
        owner.refused = true;
        return false;
      }
      if (to->alive)
        owner.world.channels_[{owner.number, to->number}].push_back({header, {payload.begin(), payload.end()}});
      return true;
    }
    Process& owner;
    Group group;
    std::vector<Member> members;
    int passed = 0;
    std::shared_ptr<Call> barrier;
    std::uint32_t next_slot = 1;
  };

  Process(SimulatedRecovery& all, int rank, std::uint64_t run)
      : world(all), number(all.processes_.size()), original(rank), incarnation(run) {}

  Epoch& enter(std::uint32_t epoch, const std::vector<int>& originals,
               const std::map<int, std::uint64_t>& incarnations) {
    const int rank = static_cast<int>(std::ranges::find(originals, original) - originals.begin());
    auto& slot = epochs[epoch];
    if (slot != nullptr) return *slot;
    slot = std::make_unique<Epoch>(*this, epoch, Place{rank, static_cast<int>(originals.size())});
    for (std::size_t i = 0; i < originals.size(); ++i) slot->members[i].original = originals[i];
    for (const auto& [r, at_least] : incarnations)
      slot->members[static_cast<std::size_t>(r)].incarnation_min = at_least;
    Epoch& entered = *slot;
    for (int r = 0; r < entered.group.place().size; ++r) {
      if (r != rank) meet(entered, r);
    }
    for (auto& [from, message] : std::exchange(unjoined, {})) receive(*from, std::move(message));
    return entered;
  }

  static void lose(Epoch& epoch, int rank, const char* why) {
    const Member& member = epoch.members[static_cast<std::size_t>(rank)];
    const std::uint64_t known = member.run != nullptr ? member.run->incarnation : member.incarnation_min;
    epoch.group.lose(rank, why, epoch, known + 1);
  }
  void meet(Epoch& epoch, int rank) {
    Member& member = epoch.members[static_cast<std::size_t>(rank)];
    if (member.run != nullptr) {
      if (known_dead.contains(member.run)) lose(epoch, rank, "its process has ended");
      return;
    }
    if (gone.contains(member.original)) return lose(epoch, rank, "it is gone for good");
    const auto known = runs.find(member.original);
    if (known == runs.end() || known->second->incarnation < member.incarnation_min) return;
    member.run = known->second;
    if (known_dead.contains(member.run)) return lose(epoch, rank, "its process has ended");
    epoch.group.pump(epoch);
  }
  void meet_all() {
    for (auto& [number, epoch] : epochs) {
      for (int r = 0; r < epoch->group.place().size; ++r) {
        if (r != epoch->group.place().rank) meet(*epoch, r);
      }
    }
  }

  void receive(Process& from, Message message) {
    const auto found = epochs.find(message.header.epoch);
    if (found == epochs.end()) {
      unjoined.emplace_back(&from, std::move(message));
      return;
    }
    Epoch& epoch = *found->second;
    Member& member = epoch.members[static_cast<std::size_t>(message.header.from)];
    if (member.run != nullptr && member.run->incarnation > from.incarnation) return;
    if (member.run != nullptr && member.run != &from) {
      lose(epoch, message.header.from, "another run of it speaks");
      member.run = &from;
      epoch.group.tell_again(message.header.from, epoch);
    }
    if (!epoch.group.receive(message.header, message.payload, epoch)) world.disagreement_ = "a message was refused";
  }

  // ---- recovering

  void begin_recovery() {
    ++world.recoveries_;
    Epoch& failed = *epochs.at(current);
    base_members.clear();
    for (const Member& m : failed.members) base_members.push_back(m.original);
    Succession::Start start{current, failed.group.place(), world.options_.how, {}, failed.next_slot, incarnation,
                            false};
    start.lost = losses(failed).dead;
    recovery.emplace(start);
    act();
  }
  void begin_as_newcomer() {
    base_members.resize(static_cast<std::size_t>(world.options_.size));
    std::iota(base_members.begin(), base_members.end(), 0);
    recovery.emplace(
        Succession::Start{1, {original, world.options_.size}, Recovery::kRebuild, {}, 1, incarnation, true});
    act();
  }
  Succession::Losses losses(const Epoch& epoch) const {
    Succession::Losses out;
    out.dead = epoch.group.failure()->dead;
    for (const auto& [rank, next_incarnation] : out.dead) {
      if (gone.contains(epoch.members[static_cast<std::size_t>(rank)].original)) out.gone.insert(rank);
    }
    out.what = epoch.group.failure()->what;
    return out;
  }
  std::vector<int> originals(const std::vector<int>& ranks) const {
    std::vector<int> out;
    for (const int r : ranks) out.push_back(base_members[static_cast<std::size_t>(r)]);
    return out;
  }
  void act() {
    const Succession::Action& action = recovery->next();
    if (const auto* read = std::get_if<Succession::Read>(&action)) {
      world.requests_.push_back({this, read->slot, std::nullopt});
    } else if (const auto* write = std::get_if<Succession::Write>(&action)) {
      world.requests_.push_back({this, write->slot, write->entry});
    } else if (const auto* attempt = std::get_if<Succession::Meet>(&action)) {
      tried = attempt->epoch;
      Epoch& epoch = enter(attempt->epoch, originals(attempt->members), attempt->incarnations);
      epoch.barrier = begin_barrier(epoch);
    } else if (const auto* spoil = std::get_if<Succession::Spoil>(&action)) {
      Epoch& epoch = enter(spoil->epoch, originals(spoil->members), {});
      if (spoil->incarnation) {
        epoch.group.lose(epoch.group.place().rank, spoil->what, epoch, *spoil->incarnation);
      } else {
        epoch.group.give_up(spoil->what, epoch);
      }
      recovery->on_spoilt();
      act();
    } else if (const auto* next = std::get_if<Succession::Next>(&action)) {
      const bool newcomer = current == 0;
      if (!newcomer) world.note(current, *next, originals(next->members));
      current = next->epoch;
      epochs.at(current)->barrier.reset();
      recovery.reset();
    } else {
      const auto& failed = std::get<Succession::Failed>(action);
      if (failed.left_out) left_out = true;
      why_failed = failed.what;
      recovery.reset();
    }
  }
  static std::shared_ptr<Call> begin_barrier(Epoch& epoch) {
    return epoch.group.begin(barrier_dissemination(epoch.group.place()), {Operation::kBarrier, 0, 0, 0, 0}, {}, nullptr,
                             epoch);
  }

  // One thing that this process can do by itself.
  bool ready() const {
    if (!alive || !why_failed.empty()) return false;
    if (recovery) {
      if (!std::holds_alternative<Succession::Meet>(recovery->next())) return false;
      return epochs.at(tried)->barrier->ended();
    }
    if (current == 0) return true;  // A newcomer.
    const Epoch& epoch = *epochs.at(current);
    if (epoch.group.failure()) return true;
    return epoch.barrier == nullptr ? epoch.passed < kBarriers : epoch.barrier->ended();
  }
  void go_on() {
    if (recovery) {
      Epoch& epoch = *epochs.at(tried);
      if (epoch.barrier->done) {
        recovery->on_met();
      } else {
        recovery->on_failed(losses(epoch));
      }
      return act();
    }
    if (current == 0) return begin_as_newcomer();
    Epoch& epoch = *epochs.at(current);
    if (epoch.group.failure()) return begin_recovery();
    if (epoch.barrier == nullptr) {
      epoch.barrier = begin_barrier(epoch);
      return;
    }
    ++epoch.passed;
    epoch.barrier.reset();
  }

  SimulatedRecovery& world;
  const std::size_t number;
  const int original;
  const std::uint64_t incarnation;
  bool alive = true;
  bool refused = false;
  std::map<std::uint32_t, std::unique_ptr<Epoch>> epochs;
  std::vector<std::pair<Process*, Message>> unjoined;
  std::map<int, Process*> runs;  // The newest of each rank, as far as this process knows.
  std::set<const Process*> known_dead;
  std::set<int> gone;
  std::uint32_t current = 0;
  std::uint32_t tried = 0;
  std::optional<Succession> recovery;
  std::vector<int> base_members;
  bool left_out = false;
  std::string why_failed;
};

SimulatedRecovery::SimulatedRecovery(const Options& options) : options_(options), random_(options.seed) {
  for (int rank = 0; rank < options.size; ++rank) {
    processes_.push_back(std::make_unique<Process>(*this, rank, 0));
  }
  std::vector<int> all(static_cast<std::size_t>(options.size));
  std::iota(all.begin(), all.end(), 0);
  for (const auto& process : processes_) {
    for (const auto& other : processes_) process->runs[other->original] = other.get();
    process->enter(1, all, {});
    process->current = 1;
  }
}

SimulatedRecovery::~SimulatedRecovery() = default;

SimulatedRecovery::Process* SimulatedRecovery::current(int original) const {
  for (const auto& process : processes_) {
    if (process->original == original && process->alive) return process.get();
  }
  return nullptr;
}

bool SimulatedRecovery::has_process(int original) const { return current(original) != nullptr; }

void SimulatedRecovery::kill(int original) {
  Process* const victim = current(original);
  victim->alive = false;
  for (auto& [pair, channel] : channels_) {
    if (pair.second == victim->number) channel.clear();
    // Of what it had sent, a part has left it.
    if (pair.first == victim->number && !channel.empty()) channel.resize(random(channel.size() + 1));
  }
  std::erase_if(replies_, [&](const Reply& reply) { return reply.to == victim; });
  std::erase_if(requests_, [&](const Request& request) { return request.from == victim && random(2) == 0; });
  for (const auto& process : processes_) {
    if (process->alive) news_.push_back({process.get(), victim, true});
  }
  if (victim->incarnation < static_cast<std::uint64_t>(options_.restarts_max)) {
    start(original, victim->incarnation + 1);
  }
}

void SimulatedRecovery::start(int original, std::uint64_t incarnation) {
  processes_.push_back(std::make_unique<Process>(*this, original, incarnation));
  Process& fresh = *processes_.back();
  for (const auto& process : processes_) {
    if (!process->alive) continue;
    fresh.runs[process->original] = process.get();
    if (process.get() != &fresh) news_.push_back({process.get(), &fresh, false});
  }
  // What it has not heard of because that came before it: the deaths for good.
  for (const auto& process : processes_) {
    if (!process->alive && process->incarnation == static_cast<std::uint64_t>(options_.restarts_max)) {
      fresh.gone.insert(process->original);
    }
  }
}

void SimulatedRecovery::accuse(int original) {
  Process* const victim = current(original);
  for (const auto& process : processes_) {
    if (!process->alive || process.get() == victim || process->current == 0 || process->recovery) continue;
    auto& epoch = *process->epochs.at(process->current);
    for (int rank = 0; rank < epoch.group.place().size; ++rank) {
      if (epoch.members[static_cast<std::size_t>(rank)].original != original || epoch.group.failure()) continue;
      accused_.insert(original);
      epoch.group.lose(rank, "it does not answer", epoch);
      return;
    }
  }
}

bool SimulatedRecovery::step() {
  std::vector<std::pair<std::size_t, std::size_t>> open;
  for (const auto& [pair, channel] : channels_) {
    if (!channel.empty()) open.push_back(pair);
  }
  std::vector<Process*> refused;
  std::vector<Process*> ready;
  for (const auto& process : processes_) {
    if (process->alive && process->refused) refused.push_back(process.get());
    if (process->ready()) ready.push_back(process.get());
  }
  std::size_t choices = open.size() + refused.size() + ready.size() + news_.size() + requests_.size() + replies_.size();
  if (choices == 0) return false;
  std::size_t pick = random(choices);
  const auto take = [&](auto& list) {
    auto out = list[pick];
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(pick));
    return out;
  };
  if (pick < open.size()) {
    auto& channel = channels_[open[pick]];
    Message message = std::move(channel.front());
    channel.pop_front();
    Process& to = *processes_[open[pick].second];
    if (to.alive) to.receive(*processes_[open[pick].first], std::move(message));
    return true;
  }
  pick -= open.size();
  if (pick < refused.size()) {
    refused[pick]->refused = false;
    for (auto& [number, epoch] : refused[pick]->epochs) epoch->group.pump(*epoch);
    return true;
  }
  pick -= refused.size();
  if (pick < ready.size()) {
    ready[pick]->go_on();
    return true;
  }
  pick -= ready.size();
  if (pick < requests_.size()) {
    const Request request = take(requests_);
    if (request.entry) store_.try_emplace(request.slot, *request.entry);
    const auto there = store_.find(request.slot);
    if (request.from->alive) {
      replies_.push_back({request.from, there == store_.end() ? std::nullopt : std::optional(there->second)});
    }
    return true;
  }
  pick -= requests_.size();
  if (pick < replies_.size()) {
    const Reply reply = take(replies_);
    reply.to->recovery->on_slot(reply.entry);
    reply.to->act();
    return true;
  }
  pick -= replies_.size();
  const News news = take(news_);
  if (!news.hears->alive) return true;
  if (news.died) {
    news.hears->known_dead.insert(news.about);
    if (options_.how == Recovery::kRebuild &&
        news.about->incarnation == static_cast<std::uint64_t>(options_.restarts_max)) {
      news.hears->gone.insert(news.about->original);
    }
  } else if (auto& newest = news.hears->runs[news.about->original];
             newest == nullptr || newest->incarnation < news.about->incarnation) {
    newest = news.about;
  }
  news.hears->meet_all();
  return true;
}

void SimulatedRecovery::note(std::uint32_t from, const Succession::Next& next, const std::vector<int>& members) {
  const auto [at, first] = next_of_.try_emplace(from, next.epoch, members);
  if (!first && at->second != std::pair(next.epoch, members)) {
    disagreement_ = "epoch " + std::to_string(from) + " led to epochs " + std::to_string(at->second.first) + " and " +
                    std::to_string(next.epoch) + ", or to different members";
  }
}

std::string SimulatedRecovery::verdict() const {
  std::set<std::uint32_t> epochs;
  std::set<int> in;
  std::size_t ended = 0;
  std::size_t alive = 0;
  const bool somebody_gone =
      options_.how == Recovery::kRebuild &&
      std::ranges::any_of(std::views::iota(0, options_.size), [&](int r) { return !has_process(r); });
  for (const auto& process : processes_) {
    if (!process->alive) continue;
    ++alive;
    const std::string who =
        "rank " + std::to_string(process->original) + ", run " + std::to_string(process->incarnation);
    if (process->left_out) {
      if (!accused_.contains(process->original) && !somebody_gone) return who + " was left out: " + process->why_failed;
      ++ended;
      continue;
    }
    if (!process->why_failed.empty()) {
      if (!somebody_gone) return who + " has given up: " + process->why_failed;
      ++ended;
      continue;
    }
    if (process->recovery || process->current == 0) {
      return who + " hangs in its recovery, at action " + std::to_string(process->recovery->next().index());
    }
    const auto& epoch = *process->epochs.at(process->current);
    if (epoch.group.failure() || epoch.passed != kBarriers) {
      return who + " hangs in epoch " + std::to_string(process->current) + "\n" + epoch.group.describe();
    }
    epochs.insert(process->current);
    in.insert(process->original);
    for (const auto& member : epoch.members) {
      if (!has_process(member.original)) return who + " goes on with a member that is dead";
    }
    if (epoch.members.size() != in.size() && options_.how == Recovery::kRebuild &&
        epoch.members.size() != static_cast<std::size_t>(options_.size)) {
      return who + " lacks members";
    }
  }
  if (epochs.size() > 1) return "members go on in different epochs";
  if (somebody_gone && ended != alive && recoveries_ != 0 && !in.empty()) return "some go on without a rank";
  return {};
}

}  // namespace mobula::collective::test

#include "tests/sim/own_explore.h"

#include <algorithm>

namespace mobula::sim {

using namespace objstore;

namespace {

base::WorkerId id_of(std::size_t p) { return base::WorkerId::from_words(p + 1, 7, 2, 0); }
std::size_t index_of(const base::WorkerId& id) { return id.word(0) - 1; }
std::string name(std::size_t p) { return "p" + std::to_string(p + 1); }
bool is_of_machines(const Letter& letter) {
  return std::holds_alternative<Tell>(letter) || std::holds_alternative<Told>(letter);
}

}  // namespace

std::vector<std::string> OwnExplorer::run() {
  Small world;
  world.left = budget_;
  for (std::size_t p = 0; p < 3; ++p) world.processes.emplace_back(OwnProcess(id_of(p), OwnershipLimits{}));
  world.processes[0]->put(0, {});
  seen_.clear();
  path_.clear();
  if (!explore(world)) return {};
  return path_;
}

bool OwnExplorer::explore(const Small& world) {
  if (!seen_.insert(digest(world)).second || gave_up()) return false;
  if (is_quiet(world)) {
    ++quiet_;
    if (const std::string wrong = judge_quiet(world); !wrong.empty()) {
      path_.push_back(wrong);
      return true;
    }
  }
  if (try_messages(world) || try_faults(world)) return true;
  for (std::size_t p = 0; p < world.processes.size(); ++p) {
    if (world.processes[p] && try_user(world, p)) return true;
  }
  return false;
}

bool OwnExplorer::try_it(const Small& world, const std::string& what, const Act& act) {
  Small next = world;
  act(next);
  path_.push_back(what);
  if (const std::string wrong = collect(next); !wrong.empty()) {
    path_.push_back(wrong);
    return true;
  }
  if (explore(next)) return true;
  path_.pop_back();
  return false;
}

// ---- what may happen --------------------------------------------------------------------------------

bool OwnExplorer::try_messages(const Small& world) {
  for (std::size_t i = 0; i < world.in_flight.size(); ++i) {
    const Envelope& e = world.in_flight[i].envelope;
    const auto deliver = [i](Small& w) {
      const Envelope taken = w.in_flight[i].envelope;
      w.in_flight.erase(w.in_flight.begin() + static_cast<std::ptrdiff_t>(i));
      w.processes[index_of(taken.to)]->receive(w.now, taken);
    };
    if (try_it(world, to_string(e), deliver)) return true;
    const bool copied = is_of_machines(e.letter) || std::holds_alternative<ReplyLetter>(e.letter);
    if (copied && world.left.copies > 0) {
      const auto deliver_copy = [i](Small& w) {
        --w.left.copies;
        w.in_flight[i].was_read = true;
        const Envelope copy = w.in_flight[i].envelope;
        w.processes[index_of(copy.to)]->receive(w.now, copy);
      };
      if (try_it(world, to_string(e) + " (and once more)", deliver_copy)) return true;
    }
    if (!world.processes[index_of(e.from)]) {  // What the dead had sent may never have left.
      const auto lose = [i](Small& w) { w.in_flight.erase(w.in_flight.begin() + static_cast<std::ptrdiff_t>(i)); };
      if (try_it(world, to_string(e) + " (lost)", lose)) return true;
    }
  }
  return false;
}

bool OwnExplorer::try_faults(const Small& world) {
  for (std::size_t p = 0; p < world.processes.size() && world.left.deaths > 0; ++p) {
    const auto die = [p](Small& w) {
      --w.left.deaths;
      w.processes[p].reset();
      std::erase_if(w.in_flight, [p](const Small::Flight& f) { return index_of(f.envelope.to) == p; });
      for (std::size_t q = 0; q < w.processes.size(); ++q) {
        if (w.processes[q]) w.to_hear.insert({q, p});
      }
    };
    if (world.processes[p] && try_it(world, name(p) + " dies", die)) return true;
  }
  for (const auto& [q, p] : world.to_hear) {
    const auto hear = [q = q, p = p](Small& w) {
      w.to_hear.erase({q, p});
      w.processes[q]->hear_of_death(w.now, id_of(p));
    };
    if (try_it(world, name(q) + " hears that " + name(p) + " has died", hear)) return true;
  }
  const bool heard = world.to_hear.empty() && std::ranges::none_of(world.in_flight, [](const Small::Flight& f) {
                       return is_of_machines(f.envelope.letter);
                     });
  for (std::size_t q = 0; q < world.processes.size() && heard; ++q) {
    if (!world.processes[q] || !world.processes[q]->machine().next_deadline()) continue;
    const auto end_grace = [q](Small& w) {
      w.now = base::Time(std::chrono::seconds(60));
      w.processes[q]->tick(w.now);
    };
    if (try_it(world, name(q) + "'s grace ends", end_grace)) return true;
  }
  return false;
}

bool OwnExplorer::try_user(const Small& world, std::size_t p) {
  for (const auto& [id, scope] : world.processes[p]->scopes()) {
    if (!scope.answering && try_scope(world, p, scope)) return true;
  }
  return false;
}

bool OwnExplorer::try_scope(const Small& world, std::size_t p, const OwnProcess::Scope& scope) {
  const std::uint64_t id = scope.id;
  const std::string who = name(p) + (id == 0 ? "" : " in call " + std::to_string(id));
  if (world.left.puts > 0 && !scope.variables.empty()) {
    const auto put = [p, id, inside = scope.variables[0]](Small& w) {
      --w.left.puts;
      w.processes[p]->put(id, {inside});
    };
    if (try_it(world, who + " puts its first variable", put)) return true;
  }
  if (id != 0) {
    if (try_it(world, who + " answers", [p, id](Small& w) { w.processes[p]->answer(w.now, id, {}); })) return true;
  }
  for (std::size_t v = 0; v < scope.variables.size(); ++v) {
    const RefName ref = scope.variables[v];
    const std::string which = " variable " + std::to_string(v);
    if (try_it(world, who + " drops" + which, [=](Small& w) { w.processes[p]->drop(w.now, id, v); })) return true;
    if (id != 0) {
      if (try_it(world, who + " keeps" + which, [=](Small& w) { w.processes[p]->keep(id, v); })) return true;
      if (try_it(world, who + " answers" + which, [=](Small& w) { w.processes[p]->answer(w.now, id, {ref}); })) {
        return true;
      }
    }
    if (world.left.gets > 0) {
      const auto get = [=](Small& w) {
        --w.left.gets;
        w.processes[p]->get(w.now, id, v, OwnProcess::Outer::kDropped);
      };
      if (try_it(world, who + " takes out of" + which, get)) return true;
    }
    for (std::size_t q = 0; q < world.processes.size() && world.left.calls > 0; ++q) {
      if (q == p || !world.processes[q]) continue;
      const auto call = [=](Small& w) {
        --w.left.calls;
        w.processes[p]->call(id, id_of(q), {ref});
      };
      if (try_it(world, who + " calls " + name(q) + " with" + which, call)) return true;
    }
  }
  return false;
}

// ---- what must be true ------------------------------------------------------------------------------

std::string OwnExplorer::collect(Small& world) {
  for (auto& process : world.processes) {
    if (!process) continue;
    for (Envelope& e : std::exchange(process->sent, {})) {
      if (world.processes[index_of(e.to)]) world.in_flight.push_back({std::move(e)});
    }
    if (!process->violations.empty()) return process->violations.front();
    if (!process->machine().is_valid()) return "not valid:\n" + process->describe();
  }
  for (auto& process : world.processes) {
    if (!process) continue;
    for (const RefName& ref : std::exchange(process->freed, {})) {
      if (std::string wrong = judge(world, ref); !wrong.empty()) return wrong;
    }
  }
  return {};
}

std::string OwnExplorer::judge(const Small& world, const RefName& freed) const {
  for (const auto& process : world.processes) {
    if (!process || process->self() == freed.owner) continue;
    if (process->holds(freed.object) && !process->is_lost(freed.object)) {
      return "it is freed while it is held:\n" + process->describe();
    }
  }
  for (const auto& [e, was_read] : world.in_flight) {
    if (was_read || world.processes[index_of(e.to)]->knows_dead(e.from)) continue;
    const auto* call = std::get_if<CallLetter>(&e.letter);
    const auto* reply = std::get_if<ReplyLetter>(&e.letter);
    if ((call != nullptr && std::ranges::count(call->refs, freed) != 0) ||
        (reply != nullptr && std::ranges::count(reply->refs, freed) != 0)) {
      return "it is freed while it is on its way: " + to_string(e);
    }
  }
  return {};
}

// With nothing on its way nobody waits but for user code; and when that ends its calls and drops all, nothing stays.
std::string OwnExplorer::judge_quiet(const Small& world) {
  for (const auto& process : world.processes) {
    if (!process) continue;
    const auto c = process->machine().counts();
    if (c.waiting + c.unanswered != 0) return "it waits for what will not come:\n" + process->describe();
  }
  Small end = world;
  for (int round = 0; round < 200; ++round) {
    for (auto& process : end.processes) {
      if (!process) continue;
      while (!process->scopes().at(0).variables.empty()) process->drop(end.now, 0, 0);
      for (const auto& [id, scope] : process->scopes()) {
        if (id == 0 || scope.answering) continue;
        process->answer(end.now, id, {});
        break;
      }
    }
    if (std::string wrong = collect(end); !wrong.empty()) return "when all is dropped: " + wrong;
    for (const auto& [e, was_read] : std::exchange(end.in_flight, {})) {
      end.processes[index_of(e.to)]->receive(end.now, e);
    }
    if (std::string wrong = collect(end); !wrong.empty()) return "when all is dropped: " + wrong;
    if (!end.in_flight.empty()) continue;
    end.now = base::Time(std::chrono::seconds(120 + round));
    for (auto& process : end.processes) {
      if (process) process->tick(end.now);
    }
  }
  for (const auto& process : end.processes) {
    if (!process) continue;
    const auto c = process->machine().counts();
    if (c.claims + c.loans + c.waiting + c.unanswered + process->objects() + process->waits() != 0) {
      return "something stays when all is dropped:\n" + process->describe();
    }
  }
  return {};
}

std::uint64_t OwnExplorer::digest(const Small& world) const {
  std::uint64_t h = 0;
  const auto add = [&h](const std::string& text) { h = base::mix64(h ^ base::hash64(text)); };
  for (const auto& process : world.processes) add(process ? process->describe() : "dead");
  std::vector<std::string> letters;
  for (const auto& [e, was_read] : world.in_flight) letters.push_back(to_string(e) + (was_read ? "!" : ""));
  std::ranges::sort(letters);
  for (const std::string& letter : letters) add(letter);
  for (const auto& [q, p] : world.to_hear) add(name(q) + name(p));
  const Budget& b = world.left;
  return base::mix64(h ^
                     static_cast<std::uint64_t>((((b.calls * 8 + b.puts) * 8 + b.gets) * 8 + b.deaths) * 8 + b.copies));
}

}  // namespace mobula::sim

// What the workers of this node really use.
#include <charconv>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/cluster/convert.h"
#include "core/os/log.h"
#include "core/os/process_use.h"
#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

using Seat = scheduler::SeatBook::Seat;
using Kind = scheduler::SeatBook::Holder::Kind;

constexpr const char* kRemedy =
    "hold less at once, run fewer tasks side by side (.with({.cpus = n}) or .with({.memory = bytes})), or give the job "
    "more memory; `mobula list use` shows what each function needs";

std::map<base::WorkerId, const Seat*> seats_by_worker(const scheduler::SeatBook& seats) {
  std::map<base::WorkerId, const Seat*> out;
  for (const auto& [lease, seat] : seats.seats()) {
    if (seat.phase == scheduler::SeatBook::Phase::kHeld) out[seat.worker] = &seat;
  }
  return out;
}

}  // namespace

void Node::watch_memory() {
  scheduler::MemoryGuardLimits limits;
  const auto setting = options_.settings.find("memory_monitor");
  if (setting != options_.settings.end()) {
    std::from_chars(setting->second.data(), setting->second.data() + setting->second.size(), limits.percent);
  }
  memory_ = std::make_unique<MemoryMonitor>(
      loop_, limits,
      MemoryMonitor::Ports{.look = &look_at_memory,
                           .users = [this] { return memory_users(); },
                           .end =
                               [this](const scheduler::MemoryVictim& victim) {
                                 os::log(os::LogLevel::kWarn, "worker {} is ended: {}", victim.worker.short_hex(),
                                         victim.why);
                                 workers_->kill(victim.worker, proto::ExitCause::OUT_OF_MEMORY, victim.why, kRemedy);
                               }});
}

std::vector<scheduler::MemoryUser> Node::memory_users() const {
  std::vector<scheduler::MemoryUser> out;
  if (workers_ == nullptr) return out;
  const auto seats = seats_by_worker(leases_->machine().seats());
  for (const auto& [id, worker] : workers_->workers()) {
    const bool dying = worker.killed_as != proto::ExitCause::UNKNOWN;
    if (!worker.ready || dying) continue;
    scheduler::MemoryUser user;
    user.worker = id;
    user.bytes = os::read_private_memory(worker.pid).value_or(0);
    if (const auto seat = seats.find(id); seat != seats.end()) {
      const Seat& s = *seat->second;
      user.since = s.since;
      user.owner = s.holder.owner;
      user.retriable = s.holder.retriable;
      const auto actor = actors_->actors().find(id);
      if (s.holder.kind == Kind::kGcs && actor != actors_->actors().end()) {
        user.owner = actor->second.owner;
        user.retriable = actor->second.retriable;
      }
    }
    out.push_back(std::move(user));
  }
  return out;
}

void Node::measure() {
  std::vector<UseMeter::Worker> workers;
  const auto seats = seats_by_worker(leases_->machine().seats());
  for (const auto& [id, worker] : workers_->workers()) {
    UseMeter::Worker seen{worker.pid, {}, {}};
    if (const auto seat = seats.find(id); seat != seats.end()) {
      const Seat& s = *seat->second;
      seen.asked = s.shape;
      const auto actor = actors_->actors().find(id);
      if (s.holder.kind != Kind::kGcs) {
        seen.what = s.holder.function.empty() ? "tasks" : s.holder.function;
      } else if (actor != actors_->actors().end()) {
        seen.what = "actor " + actor->second.class_name;
      }
    }
    workers.push_back(std::move(seen));
  }
  use_.look(os::now(), workers);
  base::Resources used;
  used.set("cpus", base::Amount::of(use_.cpus_now()));
  used.set("memory", base::Amount::of(static_cast<double>(use_.bytes_now())));
  *status_.mutable_used() = cluster::to_proto(used);
}

std::string Node::use_json() const {
  using nlohmann::json;
  json out = json::array();
  for (const auto& [what, use] : use_.uses()) {
    const double seconds = use.seconds > 0 ? use.seconds : 1;
    out.push_back({{"what", what},
                   {"node", options_.name},
                   {"seconds", use.seconds},
                   {"asked_cpus", use.asked_cpu_s / seconds},
                   {"used_cpus", use.used_cpu_s / seconds},
                   {"asked_memory", use.asked_bytes},
                   {"most_memory", use.most_bytes}});
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace mobula::raylet

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/metrics.h"
#include "core/os/bind.h"
#include "core/raylet/node.h"

namespace mobula::raylet {

// What `mobula status` and `mobula list workers` show of one node.
std::string Node::status_json() const {
  using nlohmann::json;
  json workers = json::array();
  for (const auto& [id, worker] : workers_->workers()) {
    json row = {{"id", id.short_hex()}, {"pid", worker.pid}, {"job", worker.job.short_hex()}, {"node", options_.name}};
    const auto actor = actors_->actors().find(id);
    row["state"] = worker.ready ? "task worker" : "starting";
    if (actor != actors_->actors().end()) {
      row["state"] = "actor";
      row["actor"] = actor->second.actor.short_hex();
      row["class"] = actor->second.class_name;
      row["name"] = actor->second.name;
    }
    if (const auto cpus = os::allowed_cpus(worker.pid)) row["pus"] = cpus->to_string();
    row["gpus"] = "";
    if (const WorkerBinding* binding = leases_->binding_of(id)) {
      std::string gpus;
      for (const std::uint16_t gpu : binding->gpus) gpus += (gpus.empty() ? "" : ",") + std::to_string(gpu);
      row["gpus"] = gpus;
      row["bound_to"] = binding->pus.to_string();
    }
    workers.push_back(std::move(row));
  }
  json metrics = json::array();
  clients_.for_each([&metrics](const Client& client) {
    if (!client.metrics.valid()) return;
    json counters = json::object();
    const auto read = base::read_metrics({client.metrics.data(), client.metrics.size()});
    if (read) {
      for (const base::Metric& m : *read) counters[m.name] = m.value;
    }
    const bool driver = client.kind == proto::Register::DRIVER;
    metrics.push_back({{"id", client.id.short_hex()},
                       {"pid", client.pid},
                       {"is", driver ? "driver" : "worker"},
                       {"counters", std::move(counters)}});
  });
  const auto stats = store_->store().stats();
  const auto pulls = pulls_->counts();
  const auto counts = leases_->machine().counts();
  json out = {
      {"name", options_.name},
      {"id", id_.hex()},
      {"pid", ::getpid()},
      {"session", options_.session_directory},
      {"cluster", options_.cluster_name},
      {"address", address_},
      {"tcp_address", tcp_address_},
      {"total", options_.resources.to_string()},
      {"available", leases_->machine().available().to_string()},
      {"workers", std::move(workers)},
      {"waiting", json::parse(waiting_json())},
      {"held", json::parse(held_json())},
      {"use", json::parse(use_json())},
      {"used", {{"cpus", use_.cpus_now()}, {"memory", use_.bytes_now()}}},
      {"clients", clients_.size()},
      {"refused_connections", admission_->refused()},
      {"leases",
       {{"held", counts.leases},
        {"demands", counts.demands},
        {"waiting", counts.waiting_slots},
        {"away", counts.away},
        {"idle_workers", counts.idle_workers}}},
      {"store",
       {{"capacity", stats.capacity},
        {"reserved", stats.reserved},
        {"sealed", stats.sealed_bytes},
        {"secondary", stats.secondary_bytes},
        {"objects", stats.objects},
        {"free", stats.free_bytes}}},
      {"pulls", {{"now", pulls.pulling}, {"bytes", pulls.bytes_pulled}, {"bytes_served", pulls.bytes_served}}},
      {"metrics", std::move(metrics)},
      {"settings", options_.settings},
  };
  return out.dump();
}

}  // namespace mobula::raylet

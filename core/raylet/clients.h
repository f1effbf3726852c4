#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/os/memory_file.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// A process of this node that has registered: a driver, a worker, or a tool (the CLI).
struct Client {
  proto::Register::Kind kind = proto::Register::TOOL;
  base::WorkerId id;
  base::JobId job;
  bool is_member = false;  // A driver of a job that another one has made.
  pid_t pid = 0;
  proto::Address address;
  std::optional<std::uint32_t> store_slot;
  std::unique_ptr<rpc::Rpc> rpc;
  os::Mapping metrics;  // Its page of counters; it writes them while we read.
};

// Who is connected to this raylet.  Pointers are good until remove() or the end of the callback.
class Clients {
 public:
  Client& add(std::unique_ptr<Client> client) {
    Client& added = *client;
    clients_[client->id] = std::move(client);
    return added;
  }
  std::unique_ptr<Client> remove(const base::WorkerId& id) {
    auto found = clients_.extract(id);
    return found.empty() ? nullptr : std::move(found.mapped());
  }
  Client* find(const base::WorkerId& id) const {
    const auto it = clients_.find(id);
    return it == clients_.end() ? nullptr : it->second.get();
  }
  rpc::Rpc* rpc(const base::WorkerId& id) const {
    const Client* client = find(id);
    return client == nullptr ? nullptr : client->rpc.get();
  }
  Client* driver_of(const base::JobId& job) const {
    for (const auto& [id, client] : clients_) {
      if (client->kind == proto::Register::DRIVER && client->job == job && !client->is_member) return client.get();
    }
    return nullptr;
  }
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, client] : clients_) visit(*client);
  }
  std::size_t size() const { return clients_.size(); }
  void clear() { clients_.clear(); }

 private:
  std::map<base::WorkerId, std::unique_ptr<Client>> clients_;
};

}  // namespace mobula::raylet

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/os/alarm.h"
#include "transport/channel.h"
#include "transport/ofi/core.h"
#include "transport/ofi/endpoint.h"
#include "transport/ofi/ofi.h"

namespace mobula::transport::ofi {

class WorkerImpl final : public OfiWorker, private Port::Owner {
 public:
  WorkerImpl(const WorkerOptions& options, Inbox& inbox, const Accesses::Options& access)
      : core_(options, inbox, access) {}
  ~WorkerImpl() override;

  Result<void> open(OfiOptions::Listen listen);

  const Address& address() const override { return listener_->address(); }
  Result<Endpoint*> connect(const Address& peer) override;
  Result<std::unique_ptr<Region>> register_memory(Bytes memory) override {
    return core_.regions.add(memory, core_.port->ep());
  }
  Result<std::unique_ptr<Region>> register_file(int, std::size_t, Bytes mapped) override {
    return register_memory(mapped);
  }
  std::size_t progress() override;
  int event_fd() const override { return core_.loop.fd(); }
  bool arm() override;
  OfiCounters counters() const override { return core_.counters; }
  const std::string& provider() const override { return provider_name_; }
  bool wakes_sleepers() const override { return core_.port->wait_fd() >= 0; }

 private:
  Result<void> open_listener(OfiOptions::Listen listen);
  OfiEndpoint& add(OfiEndpoint::Role role);
  OfiEndpoint* find(std::uint32_t slot, std::uint64_t cookie);
  void expect_wired(std::uint32_t slot, std::uint64_t cookie);

  void completed(Operation& operation, std::size_t received_bytes) override;
  void failed(Operation& operation, const base::Error& why) override;
  void take_in(Packet& packet, std::size_t bytes);
  void post_receives();

  void dispatch_busy();
  void bury_ended();

  Core core_;
  std::string provider_name_;
  os::Alarm alarm_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::unique_ptr<OfiEndpoint>> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::unique_ptr<OfiEndpoint>> ending_;
  std::size_t connections_ = 0;
  std::size_t receives_ = 0;  // Posted.
  bool loop_due_ = true;
  unsigned polls_ = 0;
  base::Duration nap_;  // How long the next sleep may last where the provider wakes nobody.
};

}  // namespace mobula::transport::ofi

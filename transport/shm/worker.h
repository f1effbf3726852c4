#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "transport/channel.h"
#include "transport/cpu_sharing.h"
#include "transport/shm/context.h"
#include "transport/shm/endpoint.h"

namespace mobula::transport::shm {

class ShmWorker final : public Worker, public CpuSharing {
 public:
  static Result<std::unique_ptr<Worker>> make(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning);
  ~ShmWorker() override;

  const Address& address() const override { return address_; }
  Result<Endpoint*> connect(const Address& peer) override;
  Result<std::unique_ptr<Region>> register_memory(Bytes memory) override;
  Result<std::unique_ptr<Region>> register_file(int fd, std::size_t offset, Bytes mapped) override;
  std::size_t progress() override;
  int event_fd() const override { return loop_.fd(); }
  bool arm() override;
  bool receiver_shares_cpu() override;

 private:
  ShmWorker(const WorkerOptions& options, Inbox& inbox, const ShmTuning& tuning, Doorbell bell, os::Fd timer);
  Result<void> listen();
  void accept(std::unique_ptr<Channel> channel, const std::function<void(Channel::Callbacks)>& set_callbacks);
  std::size_t run_busy();
  std::size_t look_around(std::size_t ran);
  std::size_t run_loop();
  bool last_look();
  void wake_for_timers();
  void plan_trim();
  void sweep();

  const WorkerOptions options_;
  const ChannelOptions channel_options_;
  os::EventLoop loop_;
  Doorbell bell_;
  os::Fd timer_;  // Makes event_fd() readable when a timer of the loop is due.
  RegionTable regions_;
  Context context_;
  std::unordered_map<ShmEndpoint*, std::unique_ptr<ShmEndpoint>> endpoints_;
  std::unique_ptr<Listener> listener_;
  Address address_;

  std::size_t idle_events_ = 0;  // Of the loop: woke us, and say nothing else.
  bool armed_ = false;
  bool loop_due_ = true;  // Something may be ready in the loop.
  unsigned calls_ = 0;    // Since the clock was looked at.
  os::Time looked_{};     // When the loop was.
  os::Time timer_set_for_{};
  bool trim_planned_ = false;
};

}  // namespace mobula::transport::shm

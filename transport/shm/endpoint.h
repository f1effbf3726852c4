#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "transport/channel.h"
#include "transport/shm/context.h"
#include "transport/shm/link.h"
#include "transport/shm/one_sided.h"
#include "transport/shm/process_memory.h"
#include "transport/shm/relay.h"
#include "transport/shm/send_queue.h"
#include "transport/shm/wire.h"

namespace mobula::transport::shm {

// One connection: a channel for the handshake, descriptors and liveness, and a Link for everything else.
//
//   connector  kConnecting -- kWelcome --> kOpen        acceptor  kArriving -- kHello --> kOpen
//   kOpen -- peer gone --> kEnding: complete messages are still delivered -- lost() --> kClosed
//   any state -- close() --> kClosed
class ShmEndpoint final : public Endpoint {
 public:
  // The connector's end.  It may fail from here on, but tells so from progress() only.
  ShmEndpoint(Context& context, const std::string& channel_address, std::uint64_t peer_cookie);
  // The acceptor's end; unknown to the inbox until the peer's Hello.
  ShmEndpoint(Context& context, std::unique_ptr<Channel> channel,
              const std::function<void(Channel::Callbacks)>& set_callbacks);
  ~ShmEndpoint();

  Result<void> send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) override;
  void read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) override;
  void write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) override;
  void close() override;
  const PeerIdentity& peer() const override;
  bool connected() const override { return state_ == State::kOpen; }

  // For the worker.
  bool has_record() const { return link_.in().has_record(); }
  std::size_t drain();  // Delivers a batch; returns how many records it took.
  std::size_t work();   // What made it busy; stays busy while there is more.
  bool is_closed() const { return state_ == State::kClosed; }
  bool announce_wait();  // Before sleep.  False: there is work now.
  bool may_sleep();      // The last look, after the doorbell's fence.
  void region_gone(std::uint64_t region);
  void unmark_busy() { busy_ = false; }
  void set_slot(std::size_t slot) { slot_ = slot; }

 private:
  enum class State : std::uint8_t { kConnecting, kArriving, kOpen, kEnding, kClosed };

  // A message that comes in pieces: fragments, or a payload that is read from the sender's memory.
  struct Incoming {
    Tag tag;
    std::array<std::byte, kHeaderBytesMax> header;
    Landing landing;
    std::size_t bytes = 0;  // Of the whole payload; 0: there is none on its way.
    std::size_t got = 0;
    std::uint64_t operation = 0;  // Of a rendezvous, and where its bytes are.
    std::uint64_t address = 0;
    bool by_rendezvous = false;
  };
  struct Offered {  // A rendezvous of ours that the peer has not finished.
    Completion* completion;
    std::size_t bytes;
  };

  // endpoint.cc: sending, one-sided operations.
  Result<void> send_slow(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion);
  void post(const Tag& tag, ConstBytes header, ConstBytes payload, Completion* completion);
  void flush();
  bool is_stalled() const { return incoming_.bytes != 0 && incoming_.by_rendezvous; }

  // endpoint_receive.cc
  bool take(std::uint32_t tag, ConstBytes body);
  void deliver(const Tag& tag, ConstBytes body);
  bool begin(const Tag& tag, ConstBytes body);
  bool append(ConstBytes part);
  bool offered(const Tag& tag, ConstBytes body);
  void pull();
  void deliver_incoming();
  bool finished(ConstBytes body);

  // endpoint_connect.cc: the channel's life.
  Channel::Callbacks callbacks();
  Result<void> begin_connecting(const std::string& channel_address, std::uint64_t peer_cookie);
  void frame(Frame&& frame);
  Result<void> hello(Frame&& frame);
  Result<void> welcome(Frame&& frame);
  void fetch_region(const Frame& frame);
  void region_info(Frame&& frame);
  Result<void> fetch(const RegionKey& key);
  Result<void> adopt_bell(const os::Fd& page, os::Fd event);
  bool can_read(const Probe& probe);
  void watch_process();
  void open_up();
  void peer_gone(const base::Error& why);
  void leave_open();
  void finish();
  void fail_all(const base::Error& why);
  void retire();
  void expect_answer(bool expected);
  void mark_busy();

  Context& context_;
  State state_;
  bool announced_ = false;       // The inbox knows it and will be told of its end.
  bool connect_failed_ = false;  // kConnecting, but in vain.
  bool deliver_rest_ = true;     // kEnding: what is in the ring can be believed.
  bool busy_ = false;
  bool wants_writable_ = false;
  bool peer_reads_us_ = false;  // Large payloads may go by rendezvous.
  bool expecting_ = false;      // Counted in context_.expecting.
  std::size_t slot_ = 0;        // In context_.open, once open.
  Link link_;
  SendQueue queue_;
  Incoming incoming_;

  Relay relay_;
  OneSided one_sided_;
  std::unordered_map<std::uint64_t, Offered> offered_;
  std::uint64_t next_operation_ = 1;

  std::unique_ptr<Channel> channel_;
  os::Fd link_file_;       // Until it has been sent.
  PeerIdentity identity_;  // As proved; kept when the channel is gone.
  PeerProcess process_;
  os::EventLoop::Id process_watch_ = 0;
  std::unordered_set<std::uint64_t> handed_out_;  // Regions of ours that the peer has fetched.
  os::EventLoop::Id arrival_timer_ = 0;
  base::Error why_{base::Code::kUnavailable, "the endpoint is closed"};
};

}  // namespace mobula::transport::shm

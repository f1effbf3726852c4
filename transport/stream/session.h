#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "transport/stream/completions.h"
#include "transport/stream/greeting.h"
#include "transport/stream/incoming.h"
#include "transport/stream/outgoing.h"
#include "transport/stream/region_table.h"
#include "transport/stream/transfers.h"
#include "transport/transport.h"

namespace mobula::transport::stream {

class Session;

// What the sessions of one worker share, and what they leave for the end of the round.
struct Shared {
  Shared(Inbox& to, const WorkerOptions& with, RegionTable& of) : inbox(to), options(with), regions(of) {}

  Inbox& inbox;
  const WorkerOptions& options;
  RegionTable& regions;
  Completions completions;
  std::unique_ptr<std::byte[]> scratch{new std::byte[Incoming::kScratchBytes]};
  std::uint64_t round = 1;  // Of progress().

  std::vector<Session*> dirty;     // Have something to write.
  std::vector<Session*> writable;  // Owe Inbox::writable().
  std::vector<Session*> failed;    // Owe Inbox::lost().
  std::vector<Session*> closed;
};

// An Endpoint over a byte stream: greets, then exchanges frames (wire.h).
class Session final : public Endpoint, private Incoming::Sink {
 public:
  // Greets first, as the side that connected or that was connected to.
  Session(Shared& shared, std::unique_ptr<ByteStream> stream, Handshake::Role role);
  // Over a stream whose peer has proved itself.
  Session(Shared& shared, std::unique_ptr<ByteStream> stream, PeerIdentity peer);
  ~Session() = default;

  // The stream's events.
  void on_readable();
  void on_writable();
  void fail(base::Error why);
  void greet_soon();  // In the next round: for a stream that is over before it begins.

  void flush();
  void tell_writable();
  void forget_region(std::uint64_t region);

  // Endpoint.
  Result<void> send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) override;
  void read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) override;
  void write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) override;
  void close() override;
  const PeerIdentity& peer() const override { return peer_; }
  bool connected() const override { return state_ == State::kOpen; }

  ByteStream& stream() { return *stream_; }
  bool announced() const { return announced_; }               // The owner knows this endpoint.
  base::Error take_why() { return std::exchange(why_, {}); }  // Of the end; close() is harmless after it.

 private:
  enum class State : std::uint8_t { kGreeting, kOpen, kOver };
  struct Landing {  // Where a peer's write goes.
    Bytes target;
    std::uint64_t region;
    std::size_t done = 0;
  };

  void greet();
  void opened();
  void mark_dirty();
  std::size_t write_now(const FrameHeader& frame, ConstBytes header, ConstBytes payload);
  void start(Transfers& transfers, const RemoteSpan& remote, const LocalSpan& local, Completion& completion);
  void issue(Transfers& transfers, Kind kind);
  void end_all(const base::Error& why);

  // Incoming::Sink.
  bool frame(const FrameHeader& frame, ConstBytes header, ConstBytes payload) override;
  std::optional<Bytes> chunk_begins(const FrameHeader& frame) override;
  bool chunk_ended(const FrameHeader& frame) override;

  void serve_read(std::uint64_t id, const Access& access);
  void serve_write(std::uint64_t id, const Access& access);
  void end_transfer(Transfers& transfers, const FrameHeader& frame);
  void answer(Kind kind, std::uint64_t id, std::uint8_t code);
  bool broken(const char* what);

  Shared& shared_;
  std::unique_ptr<ByteStream> stream_;
  State state_;
  bool announced_;
  bool blocked_ = false;
  bool dirty_ = false;
  bool exhausted_ = false;  // The owner waits for writable().
  std::uint64_t wrote_round_ = 0;
  std::optional<Greeting> greeting_;
  PeerIdentity peer_;
  Outgoing outgoing_;
  Incoming incoming_;
  Transfers reads_;
  Transfers writes_;
  std::unordered_map<std::uint64_t, Landing> landings_;
  base::Error why_;
};

}  // namespace mobula::transport::stream

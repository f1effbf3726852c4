#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "core/os/event_loop.h"
#include "transport/ofi/ofi.h"
#include "transport/ofi/port.h"
#include "transport/stream/completions.h"

namespace mobula::transport::ofi {

// One worker's one-sided reads and writes, in pieces, over a port of their own that is opened with the first of them.
//
// libfabric cannot take back what was asked of a connectionless endpoint, and a peer that has gone, or does not move,
// may leave a read that writes into our memory under way for ever.  So when a connection ends and the provider does not
// let go within kGrace, this port is closed, which ends everything by force, and opened anew; what belonged to other
// connections starts again from its beginning, which does no harm to a read or a write.  So it goes, too, with an
// access of which nothing moves for `stall_max`.
class Accesses final : private Port::Owner {
 public:
  static constexpr std::size_t kPieceBytes = 1u << 20;
  static constexpr std::size_t kPiecesMax = 64;      // Under way in all,
  static constexpr std::size_t kPiecesOfOneMax = 4;  // and of one access.
  static constexpr base::Duration kGrace = std::chrono::milliseconds(100);

  struct Start {
    enum class What { kRead, kWrite };
    What what = What::kRead;
    std::string peer;          // Address of its port for messages.
    std::uint64_t remote = 0;  // As fi_read takes them.
    std::uint64_t key = 0;
    Bytes local;                           // REQUIRES: not empty.
    const Registration* region = nullptr;  // Of the local bytes, if there is one; must outlive the access.
    const void* owner = nullptr;           // The connection.
    Completion* completion = nullptr;
  };

  struct Options {
    std::shared_ptr<Provider> provider;
    base::Duration stall_max{};
  };
  Accesses(Options options, os::EventLoop& loop, stream::Completions& completions, OfiCounters& counters);
  ~Accesses();
  Accesses(const Accesses&) = delete;
  Accesses& operator=(const Accesses&) = delete;

  void start(const Start& start);
  // Those of a connection that has ended: fail, when the provider lets go of their memory or after kGrace.
  void abandon(const void* owner, const base::Error& why);
  bool has_any(const void* owner) const;

  // Ends all of them by force, and tells nobody.
  void shut();

  std::size_t progress();
  bool arm() { return port_ == nullptr || port_->arm(); }
  bool wakes_sleepers() const { return port_ == nullptr || port_->wait_fd() >= 0; }
  // When progress() wants to be called although nothing happened.
  std::optional<base::Time> next_try() const;
  bool idle() const { return open_.empty(); }

 private:
  struct Access : Start {
    Port::Peer* target = nullptr;
    Registration own;  // Where the provider wants local memory registered and it is not.
    std::size_t asked = 0;
    std::size_t done = 0;
    std::size_t in_flight = 0;
    base::Time moved_at{};
    std::optional<base::Error> failed;
    std::list<Access>::iterator self;
  };
  struct Piece : Operation {
    Access* access = nullptr;
    std::size_t size = 0;
  };

  void completed(Operation& operation, std::size_t received_bytes) override;
  void failed(Operation& operation, const base::Error& why) override;
  Access& take_back(Piece& piece);
  void finish_if_over(Access& access);
  void pump();
  Result<void> prepare(Access& access);
  std::int64_t post(Access& access, Piece& piece);
  Result<void> open_port();
  void close_port();
  void fail_stalled();
  void renew();

  const std::shared_ptr<Provider> provider_;
  const base::Duration stall_max_;
  os::EventLoop& loop_;
  stream::Completions& completions_;
  OfiCounters& counters_;
  std::unique_ptr<Port> port_;
  os::EventLoop::Id watch_ = 0;
  std::list<Access> open_;
  std::list<Piece> pieces_;
  std::list<Piece> free_pieces_;
  bool blocked_ = false;  // The provider had no room.
  std::optional<base::Time> give_up_at_;
  base::Time look_at_{};  // For stalled ones.
};

}  // namespace mobula::transport::ofi

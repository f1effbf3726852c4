#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "transport/stream/completions.h"
#include "transport/transport.h"
#include "transport/ucx/wire.h"

namespace mobula::transport::ucx {

// One-sided reads and writes of one connection by messages, for transports whose network cannot do them alone:
// pieces of kPieceBytes, kPiecesMax of them in flight, checked by the peer against its regions.
class Transfers {
 public:
  static constexpr std::size_t kPiecesMax = 4;

  // Sends one piece; the payload is copied.
  class Sender {
   public:
    virtual void send_piece(Kind kind, const Access& access, ConstBytes payload) = 0;

   protected:
    ~Sender() = default;
  };

  struct Start {
    Kind kind = Kind::kRead;  // Or kWrite.
    RegionKey key;
    std::uint64_t offset = 0;
    Bytes local;  // REQUIRES: not empty.
    Completion* completion = nullptr;
  };
  void start(const Start& start);

  // Sends as many pieces as may be in flight.
  void pump(Sender& sender);

  // An answer to one of our pieces; `code` is 0 or a base::Code.  False when it answers nothing we asked.
  bool answered(Kind kind, std::uint16_t code, const Access& access, ConstBytes payload,
                stream::Completions& completions);

  void fail(const base::Error& why, stream::Completions& completions);
  bool idle() const { return open_.empty(); }

 private:
  struct Transfer {
    Start start;
    std::size_t asked = 0;
    std::size_t done = 0;
    std::size_t in_flight = 0;
    std::optional<base::Error> failed;
  };
  void finish_if_over(std::uint64_t id, stream::Completions& completions);

  std::map<std::uint64_t, Transfer> open_;  // By id, which grows: the oldest asks first.
  std::uint64_t next_id_ = 1;
  std::size_t pieces_in_flight_ = 0;
};

}  // namespace mobula::transport::ucx

#pragma once

#include "core/base/bytes.h"
#include "transport/handshake.h"
#include "transport/stream/byte_stream.h"

namespace mobula::transport::stream {

// Runs the handshake over a stream, reading no byte beyond it.
class Greeting {
 public:
  enum class State { kGoing, kDone, kFailed };

  // Both must outlive the greeting.
  Greeting(Handshake::Role role, const Credentials& credentials, ByteStream& stream);

  // Goes on as far as the stream lets it.  Call again when the stream is readable, or writable after
  // it asked for that.
  State drive();

  const Handshake& proof() const { return handshake_; }  // REQUIRES: kDone
  const base::Error& why() const { return why_; }        // REQUIRES: kFailed

 private:
  bool flush();
  State fail(base::Error why);

  ByteStream& stream_;
  Handshake handshake_;
  base::Buffer out_;
  std::size_t sent_ = 0;
  base::Error why_;
};

}  // namespace mobula::transport::stream

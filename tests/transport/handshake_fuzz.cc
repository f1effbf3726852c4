// What a stranger may send to either side of the handshake.  The first byte says to which; secret and nonces
// are fixed, so that the corpus holds whole handshakes.

#include <cstdint>
#include <cstdlib>

#include "transport/handshake.h"

using namespace mobula;
using transport::Handshake;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  transport::Credentials credentials;
  credentials.key.fill(std::byte{7});
  credentials.self.name = "fuzzed";
  Handshake::Options options;
  options.role = data[0] % 2 == 0 ? Handshake::Role::kServer : Handshake::Role::kClient;
  options.nonce.fill(std::byte{9});
  Handshake handshake(options, credentials);
  base::Buffer out;
  handshake.start(out);
  base::ConstBytes left{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
  std::size_t taken = 0;
  while (!left.empty() && handshake.wants() != 0) {
    const base::ConstBytes part = left.first(std::min(left.size(), handshake.wants()));
    taken += part.size();
    left = left.subspan(part.size());
    if (!handshake.feed(part, out).ok()) break;
  }
  if (taken > transport::kHandshakeBytesMax || out.size() > transport::kHandshakeBytesMax) std::abort();
  if (handshake.done() && handshake.peer().name.size() > transport::kNameBytesMax) std::abort();
  return 0;
}

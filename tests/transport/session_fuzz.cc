// What a peer that has proved itself may send to an endpoint over a stream: frames of messages, reads and
// writes of a registered region.  The first byte says in how large pieces they arrive.  Where an input has the
// word "@COOKIE@", the region's random cookie is put, since no input can know it.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "transport/stream/session_set.h"

using namespace mobula;
namespace stream = mobula::transport::stream;

namespace {

class Input final : public stream::ByteStream {
 public:
  Input(base::ConstBytes bytes, std::size_t piece) : left_(bytes), piece_(piece) {}
  std::ptrdiff_t read(std::span<const iovec> parts) override {
    if (left_.empty()) return kEnded;
    std::size_t done = 0;
    for (const iovec& part : parts) {
      const std::size_t n = std::min({left_.size(), part.iov_len, piece_ - done});
      std::memcpy(part.iov_base, left_.data(), n);
      left_ = left_.subspan(n);
      done += n;
      if (n < part.iov_len) break;
    }
    return static_cast<std::ptrdiff_t>(done);
  }
  std::ptrdiff_t write(std::span<const iovec> parts) override {
    std::ptrdiff_t n = 0;
    for (const iovec& part : parts) n += static_cast<std::ptrdiff_t>(part.iov_len);
    return n;
  }
  base::Error why() const override { return {base::Code::kUnavailable, "end of input"}; }
  void want_writable(bool) override {}
  bool empty() const { return left_.empty(); }

 private:
  base::ConstBytes left_;
  std::size_t piece_;
};

class Quiet final : public transport::Inbox {
  void accepted(transport::Endpoint&) override {}
  void message(transport::Endpoint& from, std::uint16_t type, base::ConstBytes header,
               base::ConstBytes payload) override {
    if (header.size() > transport::kHeaderBytesMax) std::abort();
    static_cast<void>(from.send(type, header, payload, nullptr));
  }
  void writable(transport::Endpoint&) override {}
  void lost(transport::Endpoint&, const base::Error&) override {}
};

// Whether it had to put the cookie anywhere.
bool put_cookie(std::string& input, std::uint64_t cookie) {
  static const std::string kWord = "@COOKIE@";
  bool put = false;
  for (auto at = input.find(kWord); at != std::string::npos; at = input.find(kWord, at + kWord.size())) {
    std::memcpy(input.data() + at, &cookie, sizeof cookie);
    put = true;
  }
  return put;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Quiet inbox;
  stream::SessionSet sessions({}, inbox);
  std::string memory(4096, 'm');
  const auto region =
      std::move(*sessions.register_memory({reinterpret_cast<std::byte*>(memory.data()), memory.size()}));
  std::string frames(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool allowed = put_cookie(frames, stream::decode_region_key(region->remote_key())->cookie);
  auto input = std::make_unique<Input>(base::as_bytes(frames), std::size_t{1} + data[0] * 16u);
  const Input& left = *input;
  stream::Session& session =
      sessions.add(std::make_unique<stream::Session>(sessions.shared(), std::move(input), transport::PeerIdentity{}));
  while (session.connected() && !left.empty()) {
    session.on_readable();
    if (session.connected()) sessions.flush();
  }
  sessions.finish_round();
  if (!allowed && memory != std::string(4096, 'm')) std::abort();  // Nobody guesses a cookie of 64 bits.
  return 0;
}

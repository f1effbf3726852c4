#include "transport/stream/greeting.h"

#include <array>
#include <utility>

#include "core/os/random.h"

namespace mobula::transport::stream {
namespace {

Handshake::Options fresh(Handshake::Role role) {
  Handshake::Options options;
  options.role = role;
  os::fill_random(options.nonce.data(), options.nonce.size());
  return options;
}

}  // namespace

Greeting::Greeting(Handshake::Role role, const Credentials& credentials, ByteStream& stream)
    : stream_(stream), handshake_(fresh(role), credentials) {
  handshake_.start(out_);
}

Greeting::State Greeting::drive() {
  std::array<std::byte, kHandshakeBytesMax> in;
  for (;;) {
    if (!flush()) return fail(stream_.why());
    if (handshake_.done()) return sent_ == out_.size() ? State::kDone : State::kGoing;
    const iovec part{in.data(), handshake_.wants()};
    const std::ptrdiff_t n = stream_.read({&part, 1});
    if (n == ByteStream::kBlocked) return State::kGoing;
    if (n == ByteStream::kEnded) return fail(stream_.why());
    const Result<void> fed = handshake_.feed({in.data(), static_cast<std::size_t>(n)}, out_);
    if (!fed.ok()) {
      flush();  // The refusal, as far as it goes.
      return fail(fed.error());
    }
  }
}

bool Greeting::flush() {
  while (sent_ < out_.size()) {
    const iovec part{out_.data() + sent_, out_.size() - sent_};
    const std::ptrdiff_t n = stream_.write({&part, 1});
    if (n == ByteStream::kEnded) return false;
    if (n == ByteStream::kBlocked) break;
    sent_ += static_cast<std::size_t>(n);
  }
  stream_.want_writable(sent_ < out_.size());
  return true;
}

Greeting::State Greeting::fail(base::Error why) {
  why_ = std::move(why);
  return State::kFailed;
}

}  // namespace mobula::transport::stream

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "transport/transport.h"

namespace mobula::transport {

// The versions of the wire format that a process speaks, both ends included.
struct VersionRange {
  std::uint16_t oldest;
  std::uint16_t newest;
};
inline constexpr VersionRange kWireVersions{1, 1};

// Neither side reads or keeps more than this before the other has proved itself.
inline constexpr std::size_t kHandshakeBytesMax = 512;
inline constexpr std::size_t kNameBytesMax = 64;

using Nonce = std::array<std::byte, 32>;
using Key = std::array<std::byte, 32>;

// Keys of one connection, one for each direction.
struct DirectionKeys {
  Key send{};
  Key receive{};
};

// The mutual proof that opens every connection, as a machine without I/O.
//
//   server -> client   magic, oldest and newest version, server nonce
//   client -> server   magic, version, identity, client nonce, HMAC(k, "client" | all bytes so far)
//   server -> client   magic, identity,                        HMAC(k, "server" | all bytes so far)
//
// k is HKDF-SHA256 of the trust domain's secret.  Each MAC covers every byte either side has sent, so
// it binds both roles, identities, nonces and the versions offered and chosen: nothing can be
// replayed, reflected or downgraded.  Direction keys are HKDF of the secret, salted with both nonces, over
// the hash of the transcript.  The server tells a client that it refused it with a message of its own, so
// that a wrong secret and a crash read differently.  Neither nonce may be used twice.
class Handshake {
 public:
  enum class Role : std::uint8_t { kClient, kServer };
  struct Options {
    Role role = Role::kClient;
    Nonce nonce{};  // From os::fill_random.
    VersionRange versions = kWireVersions;
  };

  // `credentials` must outlive the handshake.
  Handshake(const Options& options, const Credentials& credentials);
  ~Handshake();
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  // Appends what the role says first: nothing for a client.
  void start(base::Buffer& out);

  // How many bytes to feed next, exactly; the bytes after them belong to somebody else.  0 when done().
  std::size_t wants() const { return finished_ ? 0 : need_ - have_; }

  // Takes at most wants() bytes and appends the answer to `out`, which is to be sent even when the result is an
  // error.  kDenied: the peer did not prove itself, or refused us.  kInvalid: not our protocol, or no common
  // version (the text names both).  The machine is of no use after an error.
  Result<void> feed(ConstBytes in, base::Buffer& out);

  bool done() const { return finished_; }
  const PeerIdentity& peer() const { return peer_; }   // REQUIRES: done()
  const DirectionKeys& keys() const { return keys_; }  // REQUIRES: done()
  std::uint16_t version() const { return version_; }   // REQUIRES: done()

 private:
  enum class Step : std::uint8_t { kHello, kHeader, kBody };

  Result<void> take(base::Buffer& out);
  Result<void> take_hello(base::Buffer& out);
  Result<void> take_header(base::Buffer& out);
  Result<void> take_body(base::Buffer& out);
  Result<void> refuse(base::Buffer& out);
  void say(base::Buffer& out, ConstBytes message);
  void prove(base::Buffer& message, const char* label) const;
  Key mac(const char* label, ConstBytes end) const;
  void make_keys();
  void expect(Step step, std::size_t bytes);

  const Options options_;
  const Credentials& credentials_;
  Key auth_key_{};
  Nonce peer_nonce_{};
  Step step_;
  std::size_t need_ = 0;
  std::size_t have_ = 0;
  std::array<std::byte, kHandshakeBytesMax> in_{};
  base::Buffer transcript_;
  std::uint16_t version_ = 0;
  bool finished_ = false;
  PeerIdentity peer_;
  DirectionKeys keys_;
};

}  // namespace mobula::transport

#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/crypto/mac.h"

namespace mobula::crypto {

using PublicKey = std::array<std::byte, 32>;

// One end of an X25519 key agreement (RFC 7748), for one exchange: the private key is made here and never leaves.
//
// Two ends that have each other's public key have the same shared value, and whoever has seen only the public keys has
// not.  It says nothing of who the other is: the public keys must come over a channel that does.
class KeyAgreement {
 public:
  KeyAgreement();
  ~KeyAgreement();
  KeyAgreement(const KeyAgreement&) = delete;
  KeyAgreement& operator=(const KeyAgreement&) = delete;

  const PublicKey& public_key() const { return public_key_; }
  // Not yet a key: make one of it by hkdf_sha256().  kDenied for a public key that would give the same value to all.
  base::Result<Key> shared_with(const PublicKey& theirs) const;

 private:
  struct Pair;
  std::unique_ptr<Pair> pair_;
  PublicKey public_key_{};
};

}  // namespace mobula::crypto

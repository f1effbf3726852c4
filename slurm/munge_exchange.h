#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/crypto/key_agreement.h"

// What is inside the credentials of munge_rendezvous.h, without I/O.
//
//   join      kind, uid, start, nonce, public key of the leader
//   welcome   kind, uid, start, nonce, public key of rank 0, invitation under the key that both have
//
// The key is HKDF-SHA256 of the X25519 value, over the whole join and the welcome up to the invitation.  Each exchange
// has key pairs of its own, which are gone with it: who can open credentials (root, and whoever has the site's MUNGE
// key) and has recorded all of it still cannot read the invitation.
namespace mobula::slurm {

// Of what an exchange is; the same on both ends, or it is refused.
struct JoinScope {
  uid_t uid = 0;
  std::string start;  // Identity::start_name(): job, step, restart.
};

// The leader's end.
class JoinQuestion {
 public:
  explicit JoinQuestion(JoinScope scope);
  JoinQuestion(const JoinQuestion&) = delete;
  JoinQuestion& operator=(const JoinQuestion&) = delete;
  const std::string& bytes() const { return bytes_; }
  // The invitation.  kDenied when it answers another question, or its seal does not hold.
  base::Result<std::string> open(std::string_view welcome) const;

 private:
  using Nonce = std::array<std::byte, 32>;

  const JoinScope scope_;
  const crypto::KeyAgreement key_;
  Nonce nonce_{};
  std::string bytes_;
};

// Rank 0's end: the welcome.  kDenied, with both values, when the question is of another user or start.
base::Result<std::string> answer_join(std::string_view join, const JoinScope& scope, std::string_view invitation);

}  // namespace mobula::slurm

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slurm/munge.h"
#include "slurm/rendezvous.h"

namespace mobula::slurm {

// For srun without PMI.  Rank 0's host listens on the first free of 16 ports derived from the start's name, the leaders
// of the other nodes try all of them on all addresses that rank 0's host may have.
//
//   leader -> rank 0   MUNGE("join", uid, start, nonce, public key)
//   rank 0 -> leader   MUNGE("welcome", uid, start, nonce, public key, invitation under the agreed key)
//
// A credential can be opened by this user alone and says who has made it, so both ends are proved; the nonce binds the
// answer to the question, so that an old answer is of no use; the start's name (job, step, restart) keeps other jobs of
// the same user out.  The invitation is not readable by who only opens credentials (munge_exchange.h): MUNGE proves,
// X25519 hides.  Whoever has the site's MUNGE key and sits on the wire can still pose as either end, as in all of
// Slurm.
struct MungeRendezvousOptions {
  std::string start;
  std::string listen;                   // Rank 0: the numeric address to listen on.
  std::vector<std::string> candidates;  // Others: numeric addresses of rank 0's host.
};
std::unique_ptr<Rendezvous> make_munge_rendezvous(std::unique_ptr<Munge> munge, MungeRendezvousOptions options);

std::array<std::uint16_t, 16> rendezvous_ports(const std::string& start);

}  // namespace mobula::slurm

#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/base/ids.h"
#include "core/base/result.h"
#include "core/os/secret.h"

namespace mobula::slurm {

// What rank 0 tells the other nodes of its start: where the cluster is, and the key to it.
struct Invitation {
  // Whose it is.  All of it must be the receiver's own.
  uid_t uid = 0;
  std::string start;     // Identity::start_name().
  std::string build_id;  // Of the program; empty: it has none.

  std::string cluster;   // Its name.
  std::string host_key;  // Of rank 0's host (os::boot_id()): where it is the receiver's, `gcs_unix` is the way.
  std::string gcs_unix;
  std::string gcs_tcp;
  base::JobId job;
  os::Secret secret;
};

// The bytes hold the secret: for sealed and private channels only.  Wipe them after use.
std::string encode(const Invitation& invitation);
base::Result<Invitation> decode_invitation(std::string_view bytes);

// The same as hex digits, for channels that carry text.
std::string encode_text(const Invitation& invitation);
base::Result<Invitation> decode_invitation_text(std::string_view text);

void wipe(std::string& secret);

// kDenied, with both values, when the invitation is for another user, another start or another build.
base::Result<void> check(const Invitation& invitation, uid_t uid, std::string_view start, std::string_view build_id);

}  // namespace mobula::slurm

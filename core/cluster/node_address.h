#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"
#include "slurm/identity.h"

namespace mobula::cluster {

// What the setting `interface` means on this host: a numeric address as it is, else the address of the interface with
// that name or in that subnet; empty for empty.  kNotFound lists what there is.
base::Result<std::string> interface_address(const std::string& setting);

// Where this node listens for the others of its start when nobody says: the address that its name has, else ours on the
// way to `towards` or to another node, else the first that is not loopback, else loopback.
std::string address_for_others(const slurm::Identity& self, const std::string& towards);

// Numeric addresses that rank 0's host may have, as seen from here; our own are among them, since several nodes may be
// on one host.
std::vector<std::string> addresses_of_rank_zero(const slurm::Identity& self);

}  // namespace mobula::cluster

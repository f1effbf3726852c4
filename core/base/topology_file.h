#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mobula::base {

inline constexpr std::size_t kHostBytesMax = 255;  // A host's name.

// "n[0-3,07],login" as Slurm writes lists of hosts: n0 n1 n2 n3 n07 login.  kInvalid for what is no list, one of more
// than 100,000 names, or one with a name that is too long.
Result<std::vector<std::string>> expand_host_list(std::string_view list);

// The labels that a file of the network says of a node, by any of its names.  The file is Slurm's topology.conf:
//
//   SwitchName=s0 Nodes=n[0-3]           the leaf switch: mobula.topology/switch
//   SwitchName=s9 Switches=s[0-3]        what joins switches; the highest one is mobula.topology/spine
//   BlockName=b0 Nodes=n[0-17]           mobula.topology/nvlink
//   RackName=r0 Nodes=n[0-7]             mobula.topology/rack (not Slurm's)
//
// Other keys of a line and comments are skipped.  A node that the file does not name has no labels.  All lists together
// have no more names than one may have.
Result<std::map<std::string, std::string>> topology_file_labels(std::string_view text,
                                                                const std::vector<std::string>& names_of_node);

}  // namespace mobula::base

#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace mobula::slurm {

// Where in the network Slurm says that a node is: SLURM_TOPOLOGY_ADDR, read as SLURM_TOPOLOGY_ADDR_PATTERN says, as
// labels of the node.
//
//   plugin  pattern                   address            labels
//   tree    switch.switch.node        root.s2.n3         mobula.topology/switch = s2, /spine = root
//   block   block.node                b1.n3              mobula.topology/nvlink = b1
//   ring    ring:position.node        r0:3.n3            slurm.ring = r0, slurm.ring.position = 3
//   torus   torus:x:y:z.node          t:1:2:3.n3         slurm.torus = t, slurm.torus.x = 1, ...
//   flat    node                      n3                 none
//
// Of more than two switches the lowest is the leaf and the highest the spine.  Where several paths lead to a node, a
// component is a list
// ("s[0-3]"), and the whole of it names the domain.  Both empty: none.  kInvalid when the address does not fit the
// pattern.
base::Result<std::map<std::string, std::string>> node_place(std::string_view address, std::string_view pattern);

}  // namespace mobula::slurm

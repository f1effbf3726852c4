#pragma once

#include <memory>
#include <string>

#include "slurm/rendezvous.h"

namespace mobula::slurm {

// Through a file of mode 0600 in a directory that all nodes share: ours, 0700, no symbolic link.  Its name comes from
// the start's; it is removed with the object.
base::Result<std::unique_ptr<Rendezvous>> make_file_rendezvous(const std::string& directory, const std::string& start);

// Whether a directory lies on a file system of a kind that hosts share (NFS, Lustre, GPFS, BeeGFS, CephFS, ...).
bool is_on_shared_file_system(const std::string& directory);

}  // namespace mobula::slurm

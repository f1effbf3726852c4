#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/machine.h"
#include "core/base/result.h"

namespace mobula::slurm {

// The PMIx server of this start, through libpmix.so.2, which is opened when this is made.  An MPI of this process may
// use the same library: it counts who has initialised it.
class PmixClient {
 public:
  virtual ~PmixClient() = default;  // Says farewell to the server: what was published is gone then.

  virtual base::Result<void> publish(const std::string& key, const std::string& value) = 0;
  // What rank 0 has published, as soon as it has; kDeadline.
  virtual base::Result<std::string> fetch(const std::string& key, base::Time deadline) = 0;

  struct Sizes {
    std::uint32_t size = 0;
    std::uint32_t local_rank = 0;
    std::uint32_t local_size = 0;
  };
  virtual base::Result<Sizes> sizes() = 0;
};

// kUnavailable when there is no library here, when this was built without PMIx's header, or the server does not answer.
base::Result<std::unique_ptr<PmixClient>> open_pmix();

}  // namespace mobula::slurm

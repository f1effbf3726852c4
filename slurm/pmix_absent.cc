// Built where PMIx's header is not there.
#include "slurm/pmix_client.h"

namespace mobula::slurm {

base::Result<std::unique_ptr<PmixClient>> open_pmix() {
  return base::Error{base::Code::kUnavailable, "this Mobula was built without PMIx's header (Debian: libpmix-dev)"};
}

}  // namespace mobula::slurm

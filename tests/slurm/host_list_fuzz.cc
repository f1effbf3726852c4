#include <cstdint>
#include <cstdlib>

#include "slurm/host_list.h"

// What can be read has limits, and is written so that it reads the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula::slurm;
  const auto hosts = parse_host_list({reinterpret_cast<const char*>(data), size});
  if (!hosts) return 0;
  if (hosts->size() > kHostsMax) std::abort();
  for (const auto& host : *hosts) {
    if (host.empty() || host.size() > kHostNameBytesMax) std::abort();
  }
  // Reading many names again for each input would take the time of the others.
  if (hosts->size() > 1000) return 0;
  const auto again = parse_host_list(write_host_list(*hosts));
  if (!again || *again != *hosts) std::abort();
  return 0;
}

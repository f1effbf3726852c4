#include "core/cluster/limits.h"

#include <sys/resource.h>

#include <string>

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;

// What a raylet opens before it has a worker, with room for the first of them.
constexpr rlim_t kDescriptorsLeast = 64;
// Programs and libraries, stacks and heaps, beside the store.
constexpr std::uint64_t kAddressesBeside = 1ull << 30;

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

base::Result<void> check_limits(std::uint64_t store_bytes) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kDescriptorsLeast)
    return Error{Code::kUnavailable, "a process may open only " + std::to_string(limit.rlim_cur) +
                                         " files here (ulimit -n), and a raylet needs " +
                                         std::to_string(kDescriptorsLeast) + " to begin with: ulimit -n 4096"};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      limit.rlim_cur < store_bytes + kAddressesBeside)
    return Error{Code::kUnavailable, "a process may use only " + mib(limit.rlim_cur) +
                                         " of addresses here (ulimit -v), and each maps the node's store of " +
                                         mib(store_bytes) + ": ulimit -v unlimited, or a smaller MOBULA_STORE_BYTES"};
  return {};
}

}  // namespace mobula::cluster

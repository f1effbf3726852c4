#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "collective/algorithms.h"
#include "collective/message.h"
#include "core/base/result.h"

namespace mobula::collective {

enum class Algorithm : std::uint8_t {
  kDissemination,
  kBinomial,
  kChain,
  kScatterAllgather,
  kRingGather,
  kRecursiveDoubling,
  kRabenseifner,
  kRing,
  kPairwise,
  kBruck,
  kLinear,
  kHillisSteele,
};
const char* name_of(Algorithm algorithm);

// One line of the table: for this operation, up to this many bytes a rank and from this many ranks on.
struct Rule {
  Operation operation;
  std::size_t bytes_max;  // ~0: any.
  int size_min;
  Algorithm algorithm;
};

// Which algorithm an operation uses: the first rule that fits, by operation, bytes and size.  The same on every rank
// for the same arguments.
class Table {
 public:
  Table();  // What was measured to be good; docs/performance.md.

  // "allreduce<=65536@8:ring,broadcast:chain": rules that go before all others; `<=BYTES` and `@SIZE` may be left out.
  // kInvalid names the part that is none.
  base::Result<void> override_with(std::string_view text);

  Algorithm choose(Operation operation, std::size_t bytes, int size) const;
  std::string to_string() const;  // A rule a line.

 private:
  std::vector<Rule> rules_;
};

// What is asked of a collective, in elements.
struct Request {
  Operation operation = Operation::kBarrier;
  int root = 0;
  std::size_t count = 0;  // Reductions, scans, broadcast: of the buffer.  Others: of a block.
  std::size_t element_bytes = 1;
  // Where blocks differ by rank: gather, allgather, reduce_scatter: each rank's; scatter: each rank's; alltoall: what
  // this rank sends to each, and `receives` what it gets from each.  Empty: all have `count`.
  std::vector<std::size_t> counts;
  std::vector<std::size_t> receives;
};
Plan plan_for(const Table& table, const Request& request, Place place);

}  // namespace mobula::collective

#include "core/base/topology_file.h"
#include "tests/fuzz/input.h"

// The first line is a list of hosts, whose names a node has; what follows is a file of the network.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula;
  fuzz::Input input(data, size);
  const auto names = base::expand_host_list(input.until('\n'));
  if (names) {
    fuzz::require(names->size() <= 100'000);
    for (const auto& name : *names) fuzz::require(name.size() <= base::kHostBytesMax);
  }
  const bool few = names && names->size() <= 8;  // Looking for many names takes the time of other inputs.
  const auto labels = base::topology_file_labels(input.text(), few ? *names : std::vector<std::string>{"n1"});
  if (labels) fuzz::require(labels->size() <= 4);
  return 0;
}

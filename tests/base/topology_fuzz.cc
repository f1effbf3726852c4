#include "core/base/topology.h"
#include "tests/fuzz/input.h"

// What a node says that it is made of: what decodes is sound, encodes to what decodes the same, and can be drawn.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula;
  using base::Topology;
  using base::TopologyLevel;
  const auto topology = Topology::decode(fuzz::Input(data, size).rest());
  if (!topology) return 0;
  fuzz::require(topology->is_valid());
  const std::string bytes = topology->encode();
  const auto again = Topology::decode(base::as_bytes(bytes));
  fuzz::require(again && *again == *topology && again->encode() == bytes);
  // A description that is short in bytes must not be long in domains.
  for (const auto level : {TopologyLevel::kPackage, TopologyLevel::kL3, TopologyLevel::kCore}) {
    fuzz::require(topology->count(level) <= topology->pus.size());
  }
  fuzz::require(topology->all_pus().count() == topology->pus.size());
  for (std::size_t gpu = 0; gpu < topology->gpus.size(); ++gpu) {
    const auto nics = topology->nics_near_gpu(static_cast<std::uint16_t>(gpu));
    fuzz::require(nics.size() == topology->nics.size());
  }
  // Drawing takes time by the product of these.
  if (topology->pus.size() <= 32 && topology->numas.size() <= 32) fuzz::require(!topology->draw().empty());
  return 0;
}

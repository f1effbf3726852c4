// What a GCS or a raylet is started with, and amounts and labels as users write them: what is taken prints as what
// reads the same.

#include "core/cluster/role_options.h"
#include "tests/fuzz/input.h"

using namespace mobula;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t kind = input.byte();
  const std::string text(input.text());
  if (kind % 4 == 0) {
    if (const auto options = cluster::parse_raylet_options(text)) {
      const std::string printed = cluster::print(*options);
      const auto again = cluster::parse_raylet_options(printed);
      fuzz::require(again && cluster::print(*again) == printed && again->labels == options->labels &&
                    again->settings == options->settings && again->store_bytes == options->store_bytes &&
                    again->workers_max == options->workers_max && again->name == options->name);
    }
  } else if (kind % 4 == 1) {
    if (const auto options = cluster::parse_gcs_options(text)) {
      const std::string printed = cluster::print(*options);
      const auto again = cluster::parse_gcs_options(printed);
      fuzz::require(again && cluster::print(*again) == printed && again->cluster_name == options->cluster_name &&
                    again->life_fd == options->life_fd);
    }
  } else if (kind % 4 == 2) {
    if (const auto resources = cluster::parse_resources(text)) {
      fuzz::require(!resources->any_negative());
      const auto again = cluster::parse_resources(cluster::print_resources(*resources));
      fuzz::require(again && *again == *resources);
    }
  } else if (const auto labels = cluster::parse_labels(text)) {
    for (const auto& [name, value] : *labels) fuzz::require(!name.empty());
  }
  return 0;
}

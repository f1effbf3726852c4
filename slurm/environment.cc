#include "slurm/environment.h"

namespace mobula::slurm {

Environment to_environment(const std::vector<std::string>& entries) {
  Environment out;
  for (const std::string& entry : entries) {
    const std::size_t equals = entry.find('=');
    if (equals != 0 && equals != std::string::npos) out.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return out;
}

std::string_view value_of(const Environment& environment, std::string_view name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::string_view() : std::string_view(it->second);
}

}  // namespace mobula::slurm

#include <cmath>
#include <string>
#include <vector>

#include "core/base/cpu_set.h"
#include "core/base/settings.h"
#include "core/base/topology.h"
#include "tests/fuzz/input.h"

// Lines of an environment, all of which is the user's: what is taken reads as a value or gives an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula;
  fuzz::Input input(data, size);
  std::vector<std::string> environment;
  while (!input.empty() && environment.size() < 16) environment.emplace_back(input.until('\n'));
  base::Settings settings;
  const auto taken = settings.take_environment(environment);
  fuzz::require(taken.ok());  // Variables that name no setting are nobody's business.
  for (const auto& [key, value] : settings.all()) {
    if (value.source == base::SettingSource::kDefault) continue;
    const auto number = settings.number(key);
    fuzz::require(!number || (std::isfinite(*number) && *number >= 0));
    const auto bytes = settings.bytes(key);
    fuzz::require(!bytes || *bytes <= base::kSettingBytesMax);
    static_cast<void>(settings.flag(key));
    if (const auto cpus = base::CpuSet::parse(value.text)) {
      fuzz::require(cpus->count() <= base::CpuSet::kMax && base::CpuSet::parse(cpus->to_string()) == cpus);
    }
    const auto level = base::LevelName::parse(value.text);
    fuzz::require(base::LevelName::parse(level.to_string()) == level);
  }
  // Looking for the nearest key takes the time of other inputs.
  if (environment.size() == 1 && environment[0].size() < 32) {
    const auto set = settings.set(environment[0], "1", base::SettingSource::kFile, "a file");
    fuzz::require(set || set.error().code == base::Code::kInvalid);
  }
  return 0;
}

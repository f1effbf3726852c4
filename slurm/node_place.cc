#include "slurm/node_place.h"

#include <vector>

#include "core/base/topology.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::TopologyLevel;

using Parts = std::vector<std::string_view>;

// At most `max` parts, the last of which takes the rest; a separator in brackets is part of a list.
Parts split(std::string_view text, char separator, std::size_t max) {
  Parts out;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i < text.size() && out.size() + 1 < max; ++i) {
    if (text[i] == '[') ++depth;
    if (text[i] == ']') --depth;
    if (text[i] != separator || depth > 0) continue;
    out.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  out.push_back(text.substr(begin));
  return out;
}

// "torus:x:y" and "t:1:2": slurm.torus = t, slurm.torus.x = 1, ...
bool take_coordinates(std::string_view words, std::string_view values, std::map<std::string, std::string>& labels) {
  const Parts names = split(words, ':', words.size() + 1);
  const Parts numbers = split(values, ':', names.size());
  if (numbers.size() != names.size()) return false;
  const std::string first = "slurm." + std::string(names[0]);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (numbers[i].empty() || numbers[i].find(':') != std::string_view::npos) return false;
    labels[i == 0 ? first : first + "." + std::string(names[i])] = numbers[i];
  }
  return true;
}

}  // namespace

Result<std::map<std::string, std::string>> node_place(std::string_view address, std::string_view pattern) {
  std::map<std::string, std::string> labels;
  if (address.empty() && pattern.empty()) return labels;
  const Error misfit{Code::kInvalid, "SLURM_TOPOLOGY_ADDR \"" + std::string(address) +
                                         "\" does not fit its pattern \"" + std::string(pattern) + "\""};
  const Parts words = split(pattern, '.', pattern.size() + 1);
  // A node's own name may have dots.
  const Parts parts = split(address, '.', words.size());
  if (parts.size() != words.size() || words.back() != "node") return misfit;
  std::vector<std::string_view> switches;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (parts[i].empty()) return misfit;
    if (words[i] == "node") continue;
    if (words[i] == "switch") {
      switches.push_back(parts[i]);
    } else if (words[i] == "block") {
      labels[base::topology_label(TopologyLevel::kNvlink)] = parts[i];
    } else if (!take_coordinates(words[i], parts[i], labels)) {
      return misfit;
    }
  }
  if (!switches.empty()) labels[base::topology_label(TopologyLevel::kSwitch)] = switches.back();
  if (switches.size() > 1) labels[base::topology_label(TopologyLevel::kSpine)] = switches.front();
  return labels;
}

}  // namespace mobula::slurm

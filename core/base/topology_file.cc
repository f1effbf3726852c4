#include "core/base/topology_file.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/base/topology.h"

namespace mobula::base {
namespace {

constexpr std::size_t kNamesMax = 100'000;

Error no_list(std::string_view list) { return {Code::kInvalid, "\"" + std::string(list) + "\" is no list of hosts"}; }

// "0-3" or "07" behind a prefix, with the zeros that it is written with.
bool expand_range(std::string_view range, const std::string& prefix, std::vector<std::string>& out) {
  const auto number = [](std::string_view text, std::size_t& n) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    return error == std::errc() && end == text.data() + text.size();
  };
  const std::size_t dash = range.find('-');
  const std::string_view low = range.substr(0, dash);
  std::size_t first = 0, last = 0;
  if (!number(low, first)) return false;
  last = first;
  if (dash != std::string_view::npos && !number(range.substr(dash + 1), last)) return false;
  if (last < first || last - first >= kNamesMax - std::min(out.size(), kNamesMax)) return false;
  // The longest name is the first, with its zeros, or the last.
  if (prefix.size() + std::max(low.size(), std::to_string(last).size()) > kHostBytesMax) return false;
  for (std::size_t count = last - first + 1, n = first; count > 0; --count, ++n) {  // `last` may be the largest number.
    const std::string digits = std::to_string(n);
    out.push_back(prefix + std::string(low.size() > digits.size() ? low.size() - digits.size() : 0, '0') + digits);
  }
  return true;
}

// The text up to the next comma outside brackets.
std::string_view next_part(std::string_view& list) {
  std::size_t depth = 0, i = 0;
  for (; i < list.size(); ++i) {
    if (list[i] == '[') ++depth;
    if (list[i] == ']' && depth > 0) --depth;
    if (list[i] == ',' && depth == 0) break;
  }
  const std::string_view part = list.substr(0, i);
  list.remove_prefix(std::min(i + 1, list.size()));
  return part;
}

struct Group {  // One line: what it names, and what lies in it.
  std::string kind, name;
  std::vector<std::string> nodes, switches;
};

Result<std::vector<Group>> parse_groups(std::string_view text) {
  std::vector<Group> out;
  std::size_t names_left = kNamesMax;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    line = line.substr(0, line.find('#'));
    Group group;
    while (!line.empty()) {
      const std::size_t start = line.find_first_not_of(" \t\r");
      if (start == std::string_view::npos) break;
      line.remove_prefix(start);
      const std::size_t stop = std::min(line.find_first_of(" \t\r"), line.size());
      const std::string_view word = line.substr(0, stop);
      line.remove_prefix(stop);
      const std::size_t equals = word.find('=');
      if (equals == std::string_view::npos)
        return Error{Code::kInvalid, "\"" + std::string(word) + "\" is no key=value"};
      std::string key(word.substr(0, equals));
      std::transform(key.begin(), key.end(), key.begin(),
                     [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
      const std::string_view value = word.substr(equals + 1);
      if (key == "switchname" || key == "blockname" || key == "rackname") {
        group.kind = key;
        group.name = value;
      } else if (key == "nodes" || key == "switches") {
        auto names = expand_host_list(value);
        if (!names) return names.error();
        if (names->size() > names_left) return Error{Code::kInvalid, "more than 100,000 names of nodes and switches"};
        names_left -= names->size();
        (key == "nodes" ? group.nodes : group.switches) = std::move(*names);
      }
    }
    if (!group.kind.empty()) out.push_back(std::move(group));
  }
  return out;
}

bool has_any(const std::vector<std::string>& list, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const auto& n) { return std::find(list.begin(), list.end(), n) != list.end(); });
}

}  // namespace

Result<std::vector<std::string>> expand_host_list(std::string_view list) {
  std::vector<std::string> out;
  std::string_view left = list;
  while (!left.empty()) {
    std::string_view part = next_part(left);
    const std::size_t open = part.find('[');
    if (open == std::string_view::npos) {
      const bool is_name = !part.empty() && part.size() <= kHostBytesMax && part.find(']') == std::string_view::npos;
      if (!is_name || out.size() >= kNamesMax) return no_list(list);
      out.emplace_back(part);
    } else {
      if (part.back() != ']') return no_list(list);
      const std::string prefix(part.substr(0, open));
      std::string_view ranges = part.substr(open + 1, part.size() - open - 2);
      while (!ranges.empty()) {
        if (!expand_range(next_part(ranges), prefix, out)) return no_list(list);
      }
    }
  }
  return out;
}

Result<std::map<std::string, std::string>> topology_file_labels(std::string_view text,
                                                                const std::vector<std::string>& names_of_node) {
  const auto groups = parse_groups(text);
  if (!groups) return groups.error();
  std::map<std::string, std::string> out;
  std::string top;
  for (const Group& group : *groups) {
    if (!has_any(group.nodes, names_of_node)) continue;
    if (group.kind == "blockname") out[topology_label(TopologyLevel::kNvlink)] = group.name;
    if (group.kind == "rackname") out[topology_label(TopologyLevel::kRack)] = group.name;
    if (group.kind == "switchname") top = out[topology_label(TopologyLevel::kSwitch)] = group.name;
  }
  // From the leaf up, to a switch that no other holds.  A ring of switches ends where it began.
  std::set<std::string> seen{top};
  for (bool climbed = !top.empty(); climbed;) {
    climbed = false;
    for (const Group& group : *groups) {
      if (group.kind != "switchname" || !has_any(group.switches, {top}) || !seen.insert(group.name).second) continue;
      top = group.name;
      out[topology_label(TopologyLevel::kSpine)] = top;
      climbed = true;
      break;
    }
  }
  return out;
}

}  // namespace mobula::base

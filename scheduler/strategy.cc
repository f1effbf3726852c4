#include "scheduler/strategy.h"

#include <algorithm>
#include <string_view>

namespace mobula::scheduler {
namespace {

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> out;
  while (true) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    out.emplace_back(item);
    if (comma == std::string_view::npos) return out;
    list.remove_prefix(comma + 1);
  }
}

bool is_value(std::string_view text) { return text[0] != '!' && text.find_first_of("(),") == std::string_view::npos; }

}  // namespace

bool LabelRule::holds(const Labels& labels) const {
  const auto it = labels.find(key);
  const bool exists = it != labels.end();
  const bool listed = exists && std::find(values.begin(), values.end(), it->second) != values.end();
  switch (op) {
    case Op::kIn: return listed;
    case Op::kNotIn: return !listed;
    case Op::kExists: return exists;
    case Op::kNotExists: return !exists;
  }
  return false;
}

bool LabelRule::holds(const ActorLabels& labels) const {
  const auto first = labels.lower_bound({key, {}});
  const bool exists = first != labels.end() && first->first == key;
  const bool listed = std::any_of(values.begin(), values.end(), [&](const std::string& value) {
    return labels.contains({key, value});
  });
  switch (op) {
    case Op::kIn: return listed;
    case Op::kNotIn: return !listed;
    case Op::kExists: return exists;
    case Op::kNotExists: return !exists;
  }
  return false;
}

std::string LabelRule::to_string() const {
  if (op == Op::kExists) return key + " exists";
  if (op == Op::kNotExists) return key + " !exists";
  std::string out = key + (op == Op::kNotIn ? " !in(" : " in(");
  for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ",") + values[i];
  return out + ")";
}

base::Result<LabelRule> parse_label_rule(const std::string& key, const std::string& selector) {
  using Op = LabelRule::Op;
  const auto malformed = [&](const std::string& why) {
    return base::Error{base::Code::kInvalid, "the selector \"" + selector + "\" of the label " + key + " " + why +
                                                 ": v, !v, in(a,b), !in(a,b), exists or !exists"};
  };
  if (key.empty())
    return base::Error{base::Code::kInvalid, "a selector \"" + selector + "\" of a label without a name"};
  LabelRule rule;
  rule.key = key;
  std::string_view text = selector;
  const bool negated = text.starts_with("!");
  if (negated) text.remove_prefix(1);
  if (text.empty()) return malformed("says nothing");
  if (text == "exists") {
    rule.op = negated ? Op::kNotExists : Op::kExists;
    return rule;
  }
  rule.op = negated ? Op::kNotIn : Op::kIn;
  const bool is_list = text.starts_with("in(");
  if (is_list && text.back() != ')') return malformed("has no closing parenthesis");
  rule.values = is_list ? split_list(text.substr(3, text.size() - 4)) : std::vector{std::string(text)};
  for (const std::string& value : rule.values) {
    if (value.empty()) return malformed("has an empty value in its list");
    if (!is_value(value)) return malformed("has a value with a parenthesis, a comma or a leading ! in it");
  }
  return rule;
}

bool all_hold(const LabelRules& rules, const Labels& labels) {
  return std::all_of(rules.begin(), rules.end(), [&](const LabelRule& r) { return r.holds(labels); });
}

std::optional<std::size_t> Strategy::preference(const base::NodeId& node, const Labels& labels_of_node) const {
  const auto* affinity = std::get_if<NodeAffinity>(&placement);
  if (affinity && affinity->force == NodeAffinity::Force::kHard && affinity->node != node) return std::nullopt;
  if (all_hold(labels, labels_of_node)) return 0;
  for (std::size_t i = 0; i < fallbacks.size(); ++i) {
    if (all_hold(fallbacks[i], labels_of_node)) return i + 1;
  }
  return std::nullopt;
}

bool Strategy::allows_beside(const ActorLabels& actors) const {
  return std::all_of(beside.begin(), beside.end(), [&](const LabelRule& r) { return r.holds(actors); });
}

}  // namespace mobula::scheduler

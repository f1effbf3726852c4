#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/base/limits.h"
#include "core/base/resources.h"
#include "mobula/errors.h"
#include "mobula/options.h"
#include "scheduler/strategy.h"

// What the options of tasks, actors, groups and bundles have in common.  Each throws InvalidArgument.
namespace mobula::detail {

inline std::string checked_name(std::string_view name, const char* field) {
  if (name.size() > base::kNameBytesMax) {
    throw_invalid(std::string(field) + " has " + std::to_string(name.size()) + " bytes, the limit is " +
                  std::to_string(base::kNameBytesMax));
  }
  return std::string(name);
}

// A condition on a label: "v", "!v", "in(a,b)", "!in(a,b)", "exists", "!exists".
inline void add_selector(std::map<std::string, std::string>& to, std::string_view name, std::string_view selector) {
  const std::string key = checked_name(name, "a label's name");
  const std::string text = checked_name(selector, "a label's selector");
  if (const auto rule = scheduler::parse_label_rule(key, text); !rule) throw_invalid(rule.error().what);
  to[key] = text;
}

inline void set_amount(base::Resources& to, const std::string& name, double amount) {
  constexpr double kMax = 9.0e14;  // In units of 1/10000, below 2^63.
  if (!(amount >= 0 && amount <= kMax)) {
    throw_invalid("option " + name + " = " + std::to_string(amount) + ": an amount lies between 0 and 9e14");
  }
  to.set(name, base::Amount::of(amount));
}

template <class Options>
base::Resources resources_of(const Options& o) {
  base::Resources out;
  set_amount(out, "cpus", o.cpus);
  set_amount(out, "gpus", o.gpus);
  set_amount(out, "memory", static_cast<double>(o.memory));
  o.resources.for_each(
      [&](std::string_view name, double amount) { set_amount(out, checked_name(name, "a resource's name"), amount); });
  return out;
}

}  // namespace mobula::detail

#include "bench/suite/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace mobula::bench {
namespace {

using nlohmann::ordered_json;

// Three digits, or all of a large number's.
std::string digits(double value) {
  char text[32];
  const double size = std::abs(value);
  const int decimals = size >= 100 || value == 0 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string padded(std::string text, std::size_t width, bool right) {
  if (text.size() >= width) return text;
  const std::string space(width - text.size(), ' ');
  return right ? space + text : text + space;
}

ordered_json value_of(const Figure& figure) {
  return figure.median.value ? ordered_json(*figure.median.value) : ordered_json(nullptr);
}

bool reached(const MeasuredRow& row, double goal) {
  const double ours = *row.ours.median.value;
  return row.row.better == Better::kLower ? ours <= goal : ours >= goal;
}

std::string goal_text(const MeasuredRow& row, const std::vector<MeasuredRow>& all) {
  const auto goal = goal_of(row, all);
  if (!goal) return "";
  const char* sign = row.row.better == Better::kLower ? "<= " : ">= ";
  const char* verdict = !row.ours.median.value ? "?" : reached(row, *goal) ? "yes" : "no";
  return std::string(sign) + digits(*goal) + " " + verdict;
}

std::string beside(const MeasuredRow& row) {
  std::string out;
  const auto add = [&](const std::string& name, const Figure& figure) {
    if (!out.empty()) out += ", ";
    out += name + " " + (figure.median.value ? digits(*figure.median.value) : "-");
  };
  if (!row.row.floor.empty()) add("floor", row.floor);
  for (const auto& [name, figure] : row.peers) add(name, figure);
  return out;
}

ordered_json missing(const MeasuredRow& row) {
  ordered_json why = ordered_json::object();
  if (!row.ours.median.value) why["ours"] = row.ours.median.why;
  if (!row.row.floor.empty() && !row.floor.median.value) why["floor"] = row.floor.median.why;
  for (const auto& [name, figure] : row.peers) {
    if (!figure.median.value) why[name] = figure.median.why;
  }
  return why;
}

}  // namespace

std::optional<double> goal_of(const MeasuredRow& row, const std::vector<MeasuredRow>& all) {
  const Goal& goal = row.row.goal;
  switch (goal.of) {
    case Goal::Of::kNothing: return std::nullopt;
    case Goal::Of::kOne: return goal.factor;
    case Goal::Of::kFloor:
      if (!row.floor.median.value) return std::nullopt;
      return goal.factor * *row.floor.median.value;
    case Goal::Of::kAboveFloor:
      if (!row.floor.median.value) return std::nullopt;
      return goal.factor + *row.floor.median.value;
    case Goal::Of::kRow: break;
  }
  const auto other =
      std::find_if(all.begin(), all.end(), [&](const MeasuredRow& r) { return r.row.metric == goal.row; });
  if (other == all.end() || !other->ours.median.value) return std::nullopt;
  return goal.factor * *other->ours.median.value;
}

std::string table(const std::vector<MeasuredRow>& rows) {
  std::string out;
  std::string suite;
  for (const MeasuredRow& row : rows) {
    if (row.row.suite != suite) {
      suite = row.row.suite;
      out += padded(suite, 28, false) + padded("ours", 10, true) + "        goal              beside it\n";
    }
    const Figure& ours = row.ours;
    out += "  " + padded(row.row.metric, 26, false) +
           padded(ours.median.value ? digits(*ours.median.value) : "-", 10, true) + " " +
           padded(row.row.unit, 6, false) + " " + padded(goal_text(row, rows), 17, false) + " " + beside(row) + "\n";
    const ordered_json why = missing(row);
    for (const auto& [side, reason] : why.items()) out += "      " + side + ": " + reason.get<std::string>() + "\n";
  }
  return out;
}

ordered_json json_rows(const std::vector<MeasuredRow>& rows) {
  ordered_json out = ordered_json::array();
  for (const MeasuredRow& row : rows) {
    ordered_json one = {{"suite", row.row.suite},
                        {"metric", row.row.metric},
                        {"unit", row.row.unit},
                        {"better", row.row.better == Better::kLower ? "lower" : "higher"},
                        {"ours", value_of(row.ours)},
                        {"floor", value_of(row.floor)},
                        {"floor_name", row.row.floor_name},
                        {"peers", ordered_json::object()}};
    for (const auto& [name, figure] : row.peers) one["peers"][name] = value_of(figure);
    if (row.ours.median.value) one["ours_range"] = {row.ours.min, row.ours.max};
    if (const auto goal = goal_of(row, rows)) one["goal"] = *goal;
    if (ordered_json why = missing(row); !why.empty()) one["missing"] = std::move(why);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace mobula::bench

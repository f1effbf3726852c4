#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/suite/measure.h"

namespace mobula::bench {

// The goal of a row as a number; empty where it has none or what it depends on was not measured.
std::optional<double> goal_of(const MeasuredRow& row, const std::vector<MeasuredRow>& all);

std::string table(const std::vector<MeasuredRow>& rows);
// {"suite","metric","unit","better","ours","floor","floor_name","peers"}, and where there is something to say
// "ours_range" (lowest and highest round), "goal", and "missing" (why a value is null, by side).
nlohmann::ordered_json json_rows(const std::vector<MeasuredRow>& rows);

}  // namespace mobula::bench

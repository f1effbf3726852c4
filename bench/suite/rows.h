#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mobula::bench {

enum class Better { kLower, kHigher };

// A value to reach: `factor` times what `of` says; kAboveFloor: `factor` more than the floor.
struct Goal {
  enum class Of { kNothing, kOne, kFloor, kAboveFloor, kRow };
  Of of = Of::kNothing;
  double factor = 0;
  std::string row;  // kRow: that row's own value.
};

struct Row {
  std::string suite;
  std::string metric;
  std::string unit;
  Better better = Better::kLower;
  std::string ours;   // Names of sides (sides.h).
  std::string floor;  // Empty: there is none.
  std::string floor_name;
  std::vector<std::pair<std::string, std::string>> peers;  // Name and side.
  Goal goal;
  int rounds = 5;
};

std::vector<Row> all_rows();

}  // namespace mobula::bench

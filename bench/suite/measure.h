#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/suite/rows.h"
#include "bench/suite/sides.h"

namespace mobula::bench {

// What the rounds of one side gave.
struct Figure {
  Answer median;
  double min = 0;
  double max = 0;
};

struct MeasuredRow {
  Row row;
  Figure ours;
  Figure floor;
  std::map<std::string, Figure> peers;
};

// Asks the sides of a row in turn, round after round, beginning with another one each time.
MeasuredRow measure(const Row& row, Sides& sides, bool quick);

}  // namespace mobula::bench

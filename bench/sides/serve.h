#pragma once

#include <functional>
#include <map>
#include <stdexcept>
#include <string>

namespace mobula::bench {

// How much work one measurement is: a quick one only shows that it works.
struct Effort {
  bool quick = false;
  int of(int full) const { return quick ? (full + 19) / 20 : full; }
};

// This machine or this build cannot measure the row; the text says why, in one line.
class CannotMeasure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One side of a row: a process that measures when it is asked to and sleeps otherwise, so that the sides of a row can
// take turns.  A request is a line "METRIC full" or "METRIC quick", its answer a line "ok VALUE" or "no REASON".
// "version" is answered with "ok TEXT".
class Side {
 public:
  using Measurement = std::function<double(Effort)>;

  // Keeps the stdout that this process was started with for answers; what else is printed goes to stderr.
  explicit Side(std::string version = "");
  ~Side();
  Side(const Side&) = delete;
  Side& operator=(const Side&) = delete;

  void add(const std::string& metric, Measurement measurement) { measurements_[metric] = std::move(measurement); }
  void serve();  // Until stdin ends.

 private:
  std::string answer(const std::string& request) const;

  std::string version_;
  int answers_ = -1;
  std::map<std::string, Measurement> measurements_;
};

}  // namespace mobula::bench

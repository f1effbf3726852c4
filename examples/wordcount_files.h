#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <mobula/mobula.h>

// What wordcount does with files, and how it prints: everything that is not about tasks.
namespace wordcount {

using Counts = std::unordered_map<std::string, std::int64_t>;

struct Options {
  std::vector<std::string> roots;
  int parts = 4;
  int top = 10;
  bool json = false;
};
Options parse(int argc, char** argv);  // Ends the program with a message when it cannot.

using Batch = std::vector<std::string>;
// Regular files below the roots, in the order of their names, in batches of about equal size in bytes.
std::vector<Batch> batches_of(const std::vector<std::string>& roots);

// What one map task did, and on which node.
struct Mapped {
  std::string node;
  std::int64_t files = 0;
  std::int64_t bytes = 0;  // Of text, unpacked.
  double seconds = 0;
  std::vector<mobula::Ref<Counts>> parts;
};
Mapped map_files(const Batch& files, int parts);
Counts reduce_part(const std::vector<mobula::Ref<Counts>>& counts);

struct Totals {
  struct Node {
    std::int64_t files = 0, bytes = 0;
    double seconds = 0;  // Of all its tasks together.
  };
  std::map<std::string, Node> nodes;
  std::int64_t files = 0, bytes = 0;
  std::size_t tasks = 0;
  void add(const Mapped& result);
};

// A line that is drawn over, on a terminal.
class Progress {
 public:
  Progress(std::size_t tasks, bool enabled) : tasks_(tasks), enabled_(enabled) {}
  void show(const Totals& totals) const;
  void clear() const;

 private:
  std::size_t tasks_;
  bool enabled_;
};

void report(const Options& options, const Counts& counts, const Totals& totals, double seconds);

}  // namespace wordcount

// Mobula's side of the benchmark: a user's program and its workers.
#include <iostream>

#include <mobula/mobula.h>

#include "bench/sides/ours.h"
#include "core/base/build_info.h"

int main(int argc, char** argv) {
  try {
    const auto session = mobula::init(argc, argv);
    mobula::bench::Side side;
    mobula::bench::add_calls(side);
    mobula::bench::add_objects(side);
    side.serve();
  } catch (const mobula::Error& error) {
    std::cerr << error.report() << "\n";
    return 1;
  }
  return 0;
}

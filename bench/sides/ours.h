#pragma once

#include "bench/sides/serve.h"

namespace mobula::bench {

// Mobula's side of the rows, through the public API only: what a user's program would measure.
void add_calls(Side& side);
void add_objects(Side& side);

}  // namespace mobula::bench

#pragma once

#include <cstdint>

#include "core/base/proto/control.pb.h"

namespace mobula::runtime {

// Writes a worker's line to the driver's own standard output or error: "[name pid@node] text", with "(x3)" behind a
// line that came three times, and "[repeated 3x across workers]" behind one that other workers wrote too.
void print_log_line(const proto::LogLine& line, std::uint32_t across = 0);

}  // namespace mobula::runtime

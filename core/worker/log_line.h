#pragma once

#include "core/base/proto/control.pb.h"

namespace mobula::runtime {

// Writes a worker's line to the driver's own standard output or error: "[name pid@node] text", with "(x3)" behind a
// line that came three times.
void print_log_line(const proto::LogLine& line);

}  // namespace mobula::runtime

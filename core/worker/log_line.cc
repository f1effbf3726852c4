#include "core/worker/log_line.h"

#include <cstdio>
#include <string>

namespace mobula::runtime {

void print_log_line(const proto::LogLine& line, std::uint32_t across) {
  std::string text = "[" + line.worker() + " " + std::to_string(line.pid()) + "@" + line.node() + "] " + line.text();
  if (line.repeated_times() > 1) text += " (x" + std::to_string(line.repeated_times()) + ")";
  if (across > 1) text += " [repeated " + std::to_string(across) + "x across workers]";
  text += '\n';
  std::FILE* const to = line.is_stderr() ? stderr : stdout;
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

}  // namespace mobula::runtime

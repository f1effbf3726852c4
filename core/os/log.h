#pragma once

#include <atomic>
#include <string>

#include <fmt/core.h>

namespace mobula::os {

enum class LogLevel : int { kTrace = 0, kDebug = 1, kInfo = 2, kWarn = 3, kError = 4, kOff = 6 };

struct LogOptions {
  std::string process;  // What each line begins with: "raylet 2", "gcs".
  std::string file;     // Appended to; empty: stderr.
};

// Says where this process's lines go.  The level is MOBULA_LOG (trace, debug, info, warn, error, off; anything
// else is warn).  Before the call lines go to stderr.  Call again after fork, before other threads start.
void start_log(const LogOptions& options);

namespace detail {
inline std::atomic<int> log_level{static_cast<int>(LogLevel::kWarn)};
void write_log(LogLevel level, fmt::string_view format, fmt::format_args args);
}  // namespace detail

inline bool log_enabled(LogLevel level) {
  return static_cast<int>(level) >= detail::log_level.load(std::memory_order_relaxed);
}

// Thread-safe.  Costs one load where the level is off.
template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) detail::write_log(level, format, fmt::make_format_args(args...));
}

}  // namespace mobula::os

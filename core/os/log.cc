#include "core/os/log.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace mobula::os {
namespace {

// Time, level, process and pid, text: one format in files and on terminals, so that they merge by sorting.
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%f %L [%n %P] %v";

LogLevel level_from_environment() {
  const char* value = std::getenv("MOBULA_LOG");  // NOLINT(concurrency-mt-unsafe): nobody calls setenv.
  constexpr std::pair<std::string_view, LogLevel> kNames[] = {{"trace", LogLevel::kTrace}, {"debug", LogLevel::kDebug},
                                                              {"info", LogLevel::kInfo},   {"warn", LogLevel::kWarn},
                                                              {"error", LogLevel::kError}, {"off", LogLevel::kOff}};
  for (const auto& [name, level] : kNames) {
    if (value != nullptr && name == value) return level;
  }
  return LogLevel::kWarn;
}

spdlog::sink_ptr make_sink(const std::string& file) {
  if (!file.empty()) {
    try {
      return std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
    } catch (const spdlog::spdlog_ex& error) {  // A full or vanished disk must not stop the process.
      fmt::print(stderr, "mobula: {}; logging to stderr\n", error.what());
    }
  }
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

std::shared_ptr<spdlog::logger>& logger() {
  static auto* const kept = new std::shared_ptr<spdlog::logger>();  // Outlives every static that may log.
  return *kept;
}

}  // namespace

void start_log(const LogOptions& options) {
  auto next = std::make_shared<spdlog::logger>(options.process, make_sink(options.file));
  next->set_pattern(kPattern);
  next->set_level(spdlog::level::trace);  // log_enabled() has decided.
  next->flush_on(spdlog::level::trace);   // A line must survive the SIGKILL that follows it.
  logger() = std::move(next);
  detail::log_level.store(static_cast<int>(level_from_environment()), std::memory_order_relaxed);
}

void detail::write_log(LogLevel level, fmt::string_view format, fmt::format_args args) {
  const std::string text = fmt::vformat(format, args);
  if (const auto& to = logger()) {
    to->log(static_cast<spdlog::level::level_enum>(level), text);
  } else {
    fmt::print(stderr, "mobula: {}\n", text);
  }
}

}  // namespace mobula::os

#include "core/cli/ended_logs.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/os/session.h"

namespace mobula::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<fs::path> logs_of(const SessionFile& session, const LogsOptions& options) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(session.directory) / os::kSessionLogs, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file(error) && name.find(options.worker) != std::string::npos) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::deque<std::string> lines_of(const fs::path& path, std::size_t tail) {
  std::deque<std::string> out;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    out.push_back(std::move(line));
    if (tail != 0 && out.size() > tail) out.pop_front();
  }
  return out;
}

}  // namespace

int print_logs_of_ended(const SessionFile& session, const LogsOptions& options) {
  std::fprintf(stderr, "mobula: cluster %s has ended; this host's logs of it:\n", session.cluster.c_str());
  if (!options.node.empty() || !options.actor.empty() || !options.job.empty()) {
    return complain("only its raylets knew which log is whose: --node, --actor and --job cannot choose any more");
  }
  json all = json::array();
  const auto logs = logs_of(session, options);
  for (const fs::path& path : logs) {
    const std::string name = path.filename().string();
    for (const std::string& line : lines_of(path, options.tail)) {
      if (options.format == Format::kJson) {
        all.push_back({{"file", name}, {"text", line}});
      } else {
        std::printf("[%s] %s\n", name.c_str(), line.c_str());
      }
    }
  }
  if (options.format == Format::kJson)
    std::printf("%s\n", all.dump(1, ' ', false, json::error_handler_t::replace).c_str());
  return logs.empty() ? complain("no log matches") : 0;
}

}  // namespace mobula::cli

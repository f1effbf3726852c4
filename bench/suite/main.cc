// Measures Mobula beside the machine's floors and other systems.  bench/README.md says what each row is.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "bench/suite/machine.h"
#include "bench/suite/measure.h"
#include "bench/suite/picture.h"
#include "bench/suite/report.h"
#include "core/base/build_info.h"

namespace mobula::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> suites;
  std::vector<std::string> only;
  std::vector<std::string> peers;
  std::string json;
  std::string svg;
  bool quick = false;
  int cores = 2;
};

// Where the sides write what they have to say; removed at the end.
class LogDirectory {
 public:
  LogDirectory() {
    std::string name = fs::temp_directory_path() / "mobula-bench-XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~LogDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  LogDirectory(const LogDirectory&) = delete;
  LogDirectory& operator=(const LogDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return list.empty() || std::find(list.begin(), list.end(), item) != list.end();
}

std::vector<Row> chosen(const Options& options) {
  std::vector<Row> rows;
  for (Row& row : all_rows()) {
    if (contains(options.suites, row.suite) && contains(options.only, row.metric)) rows.push_back(std::move(row));
  }
  return rows;
}

// Which sides no later row asks for, so that they give their memory back.
void stop_unused(Sides& sides, const std::vector<Row>& rows, std::size_t done) {
  const auto used = [&](const std::string& side) {
    for (std::size_t i = done + 1; i < rows.size(); ++i) {
      if (rows[i].ours == side || rows[i].floor == side) return true;
      for (const auto& [name, of] : rows[i].peers) {
        if (of == side) return true;
      }
    }
    return false;
  };
  std::vector<std::string> asked = {rows[done].ours, rows[done].floor};
  for (const auto& [name, side] : rows[done].peers) asked.push_back(side);
  for (const std::string& side : asked) {
    if (!used(side)) sides.stop(side);
  }
}

std::vector<MeasuredRow> measure_all(const std::vector<Row>& rows, Sides& sides, bool quick) {
  std::vector<MeasuredRow> measured;
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (terminal) std::fprintf(stderr, "\r\033[K%zu/%zu %s", i + 1, rows.size(), rows[i].metric.c_str());
    measured.push_back(measure(rows[i], sides, quick));
    stop_unused(sides, rows, i);
  }
  if (terminal) std::fprintf(stderr, "\r\033[K");
  return measured;
}

nlohmann::ordered_json versions(const Sides& sides) {
  nlohmann::ordered_json out = {
      {"mobula", base::kVersion}, {"compiler", MOBULA_BENCH_COMPILER}, {"build", MOBULA_BENCH_BUILD}};
  for (const auto& [side, version] : sides.versions()) {
    if (!version.empty()) out[side] = version;
  }
  return out;
}

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (file.flush()) return true;
  std::fprintf(stderr, "%s cannot be written\n", path.c_str());
  return false;
}

int run(const Options& options) {
  const std::vector<Row> rows = chosen(options);
  if (rows.empty()) {
    std::fprintf(stderr, "there are no such rows\n");
    return 2;
  }
  const fs::path here = fs::canonical("/proc/self/exe").parent_path();
  const int cores = use_cores(options.cores);
  const auto machine = describe_machine(cores);
  const LogDirectory logs;
  Sides sides({here,
               here.parent_path() / "examples" / "hello",
               MOBULA_BENCH_PEERS,
               MOBULA_BENCH_SLURM,
               {options.peers.begin(), options.peers.end()}},
              logs.path());
  const std::vector<MeasuredRow> measured = measure_all(rows, sides, options.quick);
  const nlohmann::ordered_json report = {
      {"machine", machine}, {"versions", versions(sides)}, {"quick", options.quick}, {"rows", json_rows(measured)}};
  std::printf("%s", table(measured).c_str());
  const std::string caption = machine["processor"].get<std::string>() + ", " + std::to_string(cores) + " of " +
                              machine["cores"].dump() + " cores, load " + machine["load_average_at_start"][0].dump() +
                              " at start, " + machine["time"].get<std::string>();
  if (!options.json.empty() && !write_file(options.json, report.dump(1) + "\n")) return 1;
  if (!options.svg.empty() && !write_file(options.svg, picture(measured, caption))) return 1;
  return 0;
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  mobula::bench::Options options;
  CLI::App app("Measures Mobula beside the machine's floors and other systems.");
  app.add_option("suite", options.suites, "calls, startup, objects; all when none is named");
  app.add_option("--only", options.only, "This row, by metric; again for another.")->allow_extra_args(false);
  app.add_option("--peer", options.peers, "Also this peer: ray.")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"ray"}));
  app.add_option("--json", options.json, "Write the rows here.");
  app.add_option("--svg", options.svg, "Draw the rows here.");
  app.add_option("--cores", options.cores, "All sides share this many CPUs.")->check(CLI::Range(1, 1024));
  app.add_flag("--quick", options.quick, "One short round: shows that all rows can be measured.");
  CLI11_PARSE(app, argc, argv);
  ::signal(SIGPIPE, SIG_IGN);  // A side that has ended is its row's news, not our end.
  return mobula::bench::run(options);
}

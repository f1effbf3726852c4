// bench_json_check FILE: has the benchmark's JSON every row, with the right types, and did Mobula and the floors give
// numbers?
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "bench/suite/rows.h"

namespace mobula::bench {
namespace {

using nlohmann::json;

int complaints = 0;

void complain(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  ++complaints;
}

enum class Zero { kRefused, kMeansNone };  // kMeansNone: a count of mistakes.

void check_number(const std::string& whose, const json& value, Zero zero = Zero::kRefused) {
  const bool is_number = value.is_number() && std::isfinite(value.get<double>());
  const bool good = is_number && (value.get<double>() > 0 || (zero == Zero::kMeansNone && value.get<double>() == 0));
  if (!good) complain(whose + " is " + value.dump());
}

void check_row(const Row& wanted, const json& row) {
  const json texts = {{"suite", wanted.suite},
                      {"metric", wanted.metric},
                      {"unit", wanted.unit},
                      {"better", wanted.better == Better::kLower ? "lower" : "higher"},
                      {"floor_name", wanted.floor_name}};
  for (const auto& [key, text] : texts.items()) {
    if (row.value(key, json()) != text) complain(wanted.metric + ": " + key + " is not " + text.dump());
  }
  const json floor = row.value("floor", json());
  // Not every machine can run a Slurm, has an MPI, or lets network namespaces be made.
  const bool may_lack = wanted.suite == "startup" || wanted.ours == "ours_group_sock";
  if (may_lack && row.value("ours", json()).is_null()) {
    if (!row.contains("missing") || !row["missing"].contains("ours")) complain(wanted.metric + ": no reason is given");
    return;
  }
  check_number(wanted.metric + ": ours", row.value("ours", json()),
               wanted.metric == "bind_check" ? Zero::kMeansNone : Zero::kRefused);
  // UCX, and with it its floor, may have been left out of the build.
  if (!wanted.floor.empty() && !(floor.is_null() && wanted.floor == "ucx"))
    check_number(wanted.metric + ": floor", floor);
  const json peers = row.value("peers", json::object());
  const json missing = row.value("missing", json::object());
  for (const auto& [peer, value] : peers.items()) {
    const bool explained = value.is_null() && missing.contains(peer);
    if (!explained) check_number(wanted.metric + ": " + peer, value);
  }
  if (!missing.empty()) std::printf("%s: %s\n", wanted.metric.c_str(), missing.dump().c_str());
}

int check(const json& report) {
  if (!report["machine"]["processor"].is_string() || !report["machine"]["cores"].is_number_integer())
    complain("the machine is not described");
  if (!report["versions"]["mobula"].is_string()) complain("the version is missing");
  const auto rows = all_rows();
  if (report["rows"].size() != rows.size()) complain("there are " + std::to_string(report["rows"].size()) + " rows");
  for (std::size_t i = 0; i < rows.size() && i < report["rows"].size(); ++i) check_row(rows[i], report["rows"][i]);
  return complaints == 0 ? 0 : 1;
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  std::ifstream file(argc > 1 ? argv[1] : "");
  const auto report = nlohmann::json::parse(file, nullptr, false);
  if (!report.is_object()) {
    std::fprintf(stderr, "not JSON\n");
    return 1;
  }
  return mobula::bench::check(report);
}

#include "slurm/job_time.h"

#include <charconv>

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::string_view kTimeFormat = "SLURM_TIME_FORMAT=";

std::string_view value_of(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string_view variable : environment) {
    if (variable.size() > name.size() && variable[name.size()] == '=' && variable.substr(0, name.size()) == name) {
      return variable.substr(name.size() + 1);
    }
  }
  return {};
}

UnixSeconds parse_seconds(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0) return std::nullopt;
  return value;
}

}  // namespace

JobTime read_job_time(const std::vector<std::string>& environment) {
  JobTime out;
  out.job_id = value_of(environment, "SLURM_JOB_ID");
  // Numbers only: it becomes an argument of squeue and part of a path.
  if (!parse_seconds(out.job_id)) out.job_id.clear();
  if (!out.job_id.empty()) out.end = parse_seconds(value_of(environment, "SLURM_JOB_END_TIME"));
  return out;
}

std::vector<std::string> job_end_question(const std::string& job_id) {
  return {"squeue", "--noheader", "--jobs=" + job_id, "--format=%e"};
}

std::vector<std::string> job_end_environment(std::vector<std::string> environment) {
  std::erase_if(environment, [](const std::string& v) {
    // SQUEUE_... would change what is asked.
    return v.compare(0, kTimeFormat.size(), kTimeFormat) == 0 || v.compare(0, 7, "SQUEUE_") == 0;
  });
  environment.emplace_back(kTimeFormat).append("%s");
  return environment;
}

Result<UnixSeconds> parse_job_end(std::string_view answer) {
  while (!answer.empty() && (answer.back() == '\n' || answer.back() == ' ')) answer.remove_suffix(1);
  if (answer == "NONE" || answer == "N/A") return UnixSeconds();
  const UnixSeconds seconds = parse_seconds(answer);
  if (!seconds)
    return Error{Code::kInvalid, "squeue gave \"" + std::string(answer.substr(0, 100)) + "\" as the end of the job"};
  return seconds;
}

}  // namespace mobula::slurm

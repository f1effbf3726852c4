#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace mobula::slurm {

// When the allocation ends, in seconds since 1970; nullopt: never, as far as is known.
using UnixSeconds = std::optional<std::int64_t>;

// What the environment says of the end of our time.
struct JobTime {
  std::string job_id;  // Of Slurm; empty outside of it.
  // SLURM_JOB_END_TIME, which newer versions of Slurm set when the job starts (22.05 does not): a later `scontrol
  // update` does not change it.
  UnixSeconds end;
};
JobTime read_job_time(const std::vector<std::string>& environment);

// The question to Slurm for the end of a job as it is now, and the variables that it needs besides the process's own.
std::vector<std::string> job_end_question(const std::string& job_id);
std::vector<std::string> job_end_environment(std::vector<std::string> environment);
// Its answer: a number, or NONE for a job without a limit.
base::Result<UnixSeconds> parse_job_end(std::string_view answer);

}  // namespace mobula::slurm

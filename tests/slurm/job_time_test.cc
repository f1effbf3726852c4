#include "slurm/job_time.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

TEST(JobTime, OutsideSlurmThereIsNoJobAndNoEnd) {
  const JobTime time = read_job_time({"HOME=/root", "SLURM_JOB_END_TIME=5"});
  EXPECT_EQ(time.job_id, "");
  EXPECT_EQ(time.end, std::nullopt);
}

TEST(JobTime, NewerSlurmSaysTheEndInTheEnvironment) {
  const JobTime time = read_job_time({"SLURM_JOB_ID=42", "SLURM_JOB_END_TIME=1795518987"});
  EXPECT_EQ(time.job_id, "42");
  EXPECT_EQ(time.end, 1795518987);
}

TEST(JobTime, OlderSlurmSaysOnlyWhichJobWeAre) {
  const JobTime time = read_job_time({"SLURM_JOB_ID_HET_GROUP_0=7", "SLURM_JOB_ID=42"});
  EXPECT_EQ(time.job_id, "42");
  EXPECT_EQ(time.end, std::nullopt);
}

TEST(JobTime, AJobIdThatIsNoNumberIsNone) { EXPECT_EQ(read_job_time({"SLURM_JOB_ID=1;rm"}).job_id, ""); }

TEST(JobTime, SlurmIsAskedForSecondsWhateverTheUserHasSet) {
  EXPECT_EQ(job_end_question("42"), (std::vector<std::string>{"squeue", "--noheader", "--jobs=42", "--format=%e"}));
  const auto env = job_end_environment({"SLURM_TIME_FORMAT=relative", "SQUEUE_FORMAT=%i", "HOME=/root"});
  EXPECT_EQ(env, (std::vector<std::string>{"HOME=/root", "SLURM_TIME_FORMAT=%s"}));
}

TEST(JobTime, AnswersAreANumberOrNone) {
  EXPECT_EQ(*parse_job_end("1795518987\n"), 1795518987);
  EXPECT_EQ(*parse_job_end("NONE\n"), std::nullopt);
  EXPECT_EQ(*parse_job_end("N/A\n"), std::nullopt);
  EXPECT_FALSE(parse_job_end("").ok());
  EXPECT_FALSE(parse_job_end("2026-11-24T11:16:27\n").ok());
}

}  // namespace
}  // namespace mobula::slurm

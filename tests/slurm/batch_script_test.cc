#include "core/cli/batch_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mobula::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(BatchScript, HasWhatAJobNeedsToEndWellAndComeBack) {
  BatchOptions options;
  options.nodes = 4;
  options.time = "2:00:00";
  options.warning_s = 120;
  options.command = {"./solver", "--grid", "big grid", "it's"};
  const std::string script = batch_script(options);
  EXPECT_EQ(script.substr(0, 12), "#!/bin/bash\n");
  for (const char* line : {"#SBATCH --job-name=solver\n", "#SBATCH --nodes=4\n", "#SBATCH --ntasks-per-node=1\n",
                           "#SBATCH --time=2:00:00\n", "#SBATCH --signal=USR1@120\n", "#SBATCH --requeue\n",
                           "#SBATCH --no-kill\n", "#SBATCH --open-mode=append\n", "export MOBULA_REQUEUE=1\n",
                           "srun --no-kill --kill-on-bad-exit=0 --wait=0 ./solver --grid 'big grid' 'it'\\''s' &\n"}) {
    EXPECT_THAT(script, HasSubstr(line));
  }
}

TEST(BatchScript, LeavesOutWhatNobodyAskedFor) {
  BatchOptions options;
  options.requeue = false;
  options.warning_s = 0;
  options.command = {"a"};
  const std::string script = batch_script(options);
  for (const char* word :
       {"--time", "#SBATCH --signal", "MOBULA_REQUEUE", "--no-kill", "--gpus", "--mem", "--partition", "--mpi"}) {
    EXPECT_THAT(script, Not(HasSubstr(word)));
  }
  EXPECT_THAT(script, HasSubstr("#SBATCH --no-requeue\n"));
}

TEST(BatchScript, NoWordCanEndItsLine) {
  BatchOptions options;
  options.time = "1\nrm -rf /";
  options.command = {"a\nb", ""};
  const std::string script = batch_script(options);
  EXPECT_THAT(script, HasSubstr("#SBATCH --time=1rm-rf/\n"));
  EXPECT_THAT(script, HasSubstr(" 'a\nb' '' &\n"));
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
}

}  // namespace
}  // namespace mobula::cli

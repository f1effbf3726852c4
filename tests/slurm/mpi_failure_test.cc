#include "slurm/mpi_failure.h"

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

// As the programs print it: Slurm 22.05, Open MPI 4.1, MPICH 4.0.

TEST(MpiFailure, srun_names_the_task_that_ended_with_the_code_of_the_step) {
  const auto failure = read_mpi_failure(
      "srun: Job step aborted: Waiting up to 7 seconds for job step to finish.\n"
      "srun: error: n3: task 3: Killed\n"
      "srun: error: n1: task 1: Exited with exit code 3\n"
      "srun: error: n2: tasks 0,2: Killed\n",
      3);
  EXPECT_EQ(failure.rank, 1u);
  EXPECT_EQ(failure.host, "n1");
  EXPECT_EQ(failure.exit_code, 3);
  EXPECT_EQ(failure.signal, 0);
}

TEST(MpiFailure, srun_says_first_which_task_a_signal_has_killed) {
  const auto failure =
      read_mpi_failure("rank 0 complains\nsrun: error: n1: task 1: Killed\nsrun: Force Terminated StepId=1.3\n", 137);
  EXPECT_EQ(failure.rank, 1u);
  EXPECT_EQ(failure.signal, 9);
}

TEST(MpiFailure, tasks_that_srun_has_ended_itself_are_not_to_blame_though_its_code_is_theirs) {
  const auto killed = read_mpi_failure(
      "srun: error: n3: task 2: Terminated\nsrun: error: n1: task 1: Killed\n"
      "srun: error: n1: task 0: Terminated\nsrun: Force Terminated StepId=6.3\n",
      143);
  EXPECT_EQ(killed.rank, 1u);
  EXPECT_EQ(killed.signal, 9);
  EXPECT_EQ(killed.exit_code, 137);
  const auto exited =
      read_mpi_failure("srun: error: n2: task 1: Exited with exit code 3\nsrun: error: n1: task 0: Terminated\n", 143);
  EXPECT_EQ(exited.rank, 1u);
  EXPECT_EQ(exited.signal, 0);
  EXPECT_EQ(exited.exit_code, 3);
}

TEST(MpiFailure, srun_writes_segmentation_faults_and_core_dumps) {
  const auto failure = read_mpi_failure("srun: error: n1: task 4: Segmentation fault (core dumped)\n", 139);
  EXPECT_EQ(failure.rank, 4u);
  EXPECT_EQ(failure.signal, 11);
}

TEST(MpiFailure, mpirun_names_the_rank_the_node_and_the_signal) {
  const auto failure = read_mpi_failure(
      "Primary job  terminated normally, but 1 process returned\na non-zero exit code.\n"
      "mpirun noticed that process rank 1 with PID 0 on node n1 exited on signal 11 (Segmentation fault).\n",
      139);
  EXPECT_EQ(failure.rank, 1u);
  EXPECT_EQ(failure.host, "n1");
  EXPECT_EQ(failure.signal, 11);
}

TEST(MpiFailure, mpirun_names_the_first_rank_with_an_exit_code) {
  const auto failure = read_mpi_failure(
      "mpirun detected that one or more processes exited with non-zero status, thus causing\n"
      "the job to be terminated. The first process to do so was:\n\n"
      "  Process name: [[3391,1],12]\n  Exit code:    4\n",
      4);
  EXPECT_EQ(failure.rank, 12u);
  EXPECT_EQ(failure.exit_code, 4);
}

TEST(MpiFailure, who_calls_abort_is_to_blame_whatever_the_launcher_has_killed_since) {
  const auto failure = read_mpi_failure(
      "srun: error: n3: task 3: Killed\n"
      "MPI_ABORT was invoked on rank 2 in communicator MPI_COMM_WORLD\nwith errorcode 5.\n"
      "srun: error: n1: task 1: Exited with exit code 5\n",
      5);
  EXPECT_EQ(failure.rank, 2u);
  EXPECT_TRUE(failure.aborted);
  EXPECT_EQ(failure.exit_code, 5);
}

TEST(MpiFailure, hydra_says_where_the_rank_ran) {
  const auto failure = read_mpi_failure(
      "=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES\n=   RANK 1 PID 7 RUNNING AT n2\n"
      "=   KILLED BY SIGNAL: 9 (Killed)\n",
      9);
  EXPECT_EQ(failure.rank, 1u);
  EXPECT_EQ(failure.host, "n2");
}

TEST(MpiFailure, a_launcher_that_says_nothing_leaves_the_code) {
  const auto failure = read_mpi_failure("", 7);
  EXPECT_FALSE(failure.rank);
  EXPECT_EQ(failure.exit_code, 7);
  EXPECT_EQ(failure.signal, 0);
  EXPECT_FALSE(read_mpi_failure("noticed that process rank", 1).rank);
  EXPECT_FALSE(read_mpi_failure("Process name: [[", 1).rank);
}

}  // namespace
}  // namespace mobula::slurm

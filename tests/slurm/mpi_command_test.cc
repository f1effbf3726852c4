#include "slurm/mpi_command.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "slurm/mpi_run.h"

namespace mobula::slurm {
namespace {

std::string line(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// As in a task of a step of one node in a job of three.
const Environment kJob{
    {"SLURM_JOB_ID", "7"},         {"SLURM_CONF", "/c"},       {"SLURM_NTASKS", "1"},        {"SLURM_NODELIST", "n1"},
    {"SLURM_TASKS_PER_NODE", "1"}, {"SLURM_MPI_TYPE", "none"}, {"SLURM_CPUS_PER_TASK", "9"}, {"PATH", "/bin"}};

MpiStart start(MpiLauncher kind, const char* launcher) {
  MpiStart out;
  out.kind = kind;
  out.launcher = launcher;
  out.program = "./solver";
  out.arguments = {"-x", "a b"};
  out.hosts = {"n2", "n1", "n2", "n3"};
  out.in_allocation = true;
  return out;
}

TEST(MpiCommand, srun_gets_each_ranks_host_and_no_option_of_the_step_that_it_overlaps) {
  MpiStart s = start(MpiLauncher::kSrun, "srun");
  s.pmi = "pmix";
  s.launcher_arguments = {"--mem=0"};
  const MpiCommand command = mpi_command(s, kJob);
  EXPECT_EQ(line(command.argv),
            "srun --overlap --overcommit --distribution=arbitrary --nodes=3 --ntasks=4 --cpu-bind=none "
            "--kill-on-bad-exit=1 --mpi=pmix --mem=0 ./solver -x a b");
  EXPECT_EQ(command.host_file, "n2\nn1\nn2\nn3\n");
  EXPECT_EQ(line(command.env), "PATH=/bin SLURM_CONF=/c SLURM_HOSTFILE=/proc/self/fd/4 SLURM_JOB_ID=7");
}

TEST(MpiCommand, mpirun_takes_the_ranks_hosts_for_the_whole_allocation) {
  const MpiCommand command = mpi_command(start(MpiLauncher::kOpenMpi, "mpirun"), kJob);
  EXPECT_EQ(line(command.argv),
            "mpirun -np 4 --oversubscribe --bind-to none --hostfile /proc/self/fd/4 --mca rmaps seq ./solver -x a b");
  EXPECT_EQ(command.host_file, "n2\nn1\nn2\nn3\n");
  EXPECT_EQ(line(command.env),
            "PATH=/bin SLURM_CONF=/c SLURM_JOBID=7 SLURM_JOB_ID=7 SLURM_JOB_NODELIST=n2,n1,n3 SLURM_JOB_NUM_NODES=3 "
            "SLURM_NNODES=3 SLURM_NODELIST=n2,n1,n3 SLURM_OVERLAP=1 SLURM_TASKS_PER_NODE=2,1(x2)");
}

TEST(MpiCommand, on_one_machine_mpirun_hears_of_no_job_and_of_no_host) {
  MpiStart s = start(MpiLauncher::kOpenMpi, "mpirun");
  s.in_allocation = false;
  s.is_local = true;
  s.rsh = "myssh";
  const MpiCommand command = mpi_command(s, kJob);
  EXPECT_EQ(line(command.argv), "mpirun -np 4 --oversubscribe --bind-to none ./solver -x a b");
  EXPECT_EQ(command.host_file, "");
  EXPECT_EQ(line(command.env), "PATH=/bin");
}

TEST(MpiCommand, hosts_outside_of_a_job_are_reached_by_what_serves_as_ssh) {
  MpiStart s = start(MpiLauncher::kOpenMpi, "mpirun");
  s.in_allocation = false;
  s.rsh = "myssh";
  EXPECT_NE(line(mpi_command(s, kJob).argv).find("--mca plm_rsh_agent myssh --hostfile"), std::string::npos);
  s.kind = MpiLauncher::kHydra;
  const MpiCommand command = mpi_command(s, kJob);
  EXPECT_EQ(line(command.argv), "mpirun -n 4 -launcher ssh -launcher-exec myssh -f /proc/self/fd/4 ./solver -x a b");
  EXPECT_EQ(command.host_file, "n2:2\nn1:1\nn3:1\n");
}

TEST(MpiCommand, tasks_per_node_are_written_in_slurms_short_form) {
  EXPECT_EQ(tasks_per_node({"a"}), "1");
  EXPECT_EQ(tasks_per_node({"a", "a", "b", "b", "c"}), "2(x2),1");
  EXPECT_EQ(tasks_per_node({"a", "b", "a"}), "2,1");
}

TEST(MpiCommand, a_program_gets_the_pmi_that_its_mpi_was_built_for) {
  EXPECT_EQ(pmi_for("\0libmpi.so.40\0", "pmix, none, pmi2"), "pmix");
  EXPECT_EQ(pmi_for("..libmpich.so.12..", "pmix, none, pmi2"), "pmi2");
  EXPECT_EQ(pmi_for("..libmpich.so.12..", "pmix, none"), "pmix");
  EXPECT_EQ(pmi_for("", "none"), "");
  EXPECT_EQ(pmi_for("", "none, cray_shasta"), "");
}

TEST(MpiCommand, launchers_are_told_apart_by_what_they_say_of_themselves) {
  EXPECT_EQ(launcher_of_version("mpirun (Open MPI) 4.1.4\n"), MpiLauncher::kOpenMpi);
  EXPECT_EQ(launcher_of_version("mpirun.openmpi (OpenRTE) 4.1.4\n"), MpiLauncher::kOpenMpi);
  EXPECT_EQ(launcher_of_version("HYDRA build details:\n    Version: 4.0.2\n"), MpiLauncher::kHydra);
}

TEST(KeptOutput, of_a_long_stream_the_end_is_kept_and_said_how_much_is_not) {
  KeptOutput few;
  few.add("abc", 3);
  EXPECT_EQ(std::move(few).take(), "abc");
  KeptOutput many;
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 40; ++i) many.add(part.data(), part.size());
  many.add("end", 3);
  const std::string text = std::move(many).take();
  EXPECT_TRUE(text.starts_with("[" + std::to_string(24u * (1 << 20) + 3) + " bytes before this were not kept]\n"));
  EXPECT_EQ(text.size(), kMpiOutputBytesMax + text.find('\n') + 1);
  EXPECT_TRUE(text.ends_with("xend"));
}

}  // namespace
}  // namespace mobula::slurm

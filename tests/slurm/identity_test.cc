#include "slurm/identity.h"

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

// Task 5 of `srun -N4 -n8`, as Slurm 22.05 sets it.
Environment srun_task() {
  return {{"SLURM_PROCID", "5"},
          {"SLURM_LOCALID", "1"},
          {"SLURM_NODEID", "2"},
          {"SLURMD_NODENAME", "n3"},
          {"SLURM_GTIDS", "4,5"},
          {"SLURM_NTASKS", "8"},
          {"SLURM_NNODES", "4"},
          {"SLURM_JOB_NODELIST", "n[1-4]"},
          {"SLURM_TASKS_PER_NODE", "2(x4)"},
          {"SLURM_STEP_TASKS_PER_NODE", "2(x4)"},
          {"SLURM_STEP_NODELIST", "n[1-4]"},
          {"SLURM_STEP_NUM_NODES", "4"},
          {"SLURM_STEP_NUM_TASKS", "8"},
          {"SLURM_STEP_ID", "0"},
          {"SLURM_JOB_ID", "16"},
          {"SLURM_CPUS_ON_NODE", "2"},
          {"SLURM_CLUSTER_NAME", "fixture"},
          {"SLURM_LAUNCH_NODE_IPADDR", "10.213.0.1"}};
}

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

Identity identity_of(const Environment& environment) {
  const auto out = identify(environment);
  EXPECT_TRUE(out) << (out ? "" : out.error().what);
  return out ? *out : Identity{};
}

TEST(Identity, a_process_from_a_shell_is_nobodys_task) {
  EXPECT_FALSE(identity_of({}).is_launched());
  EXPECT_TRUE(identity_of({{"PATH", "/bin"}}).is_alone());
}

TEST(Identity, a_task_of_srun_knows_its_node_and_its_neighbours) {
  const Identity id = identity_of(srun_task());
  EXPECT_EQ(id.launcher, Launcher::kSrun);
  EXPECT_EQ(id.rank, 5u);
  EXPECT_EQ(id.size, 8u);
  EXPECT_EQ(id.local_rank, 1u);
  EXPECT_EQ(id.local_size, 2u);
  EXPECT_EQ(id.node_index, 2u);
  EXPECT_EQ(id.node_count, 4u);
  EXPECT_EQ(id.node_name, "n3");
  EXPECT_EQ(id.hosts, "n[1-4]");
  EXPECT_EQ(id.start_name(), "16.0");
  EXPECT_FALSE(id.pmi_fd);
  EXPECT_FALSE(id.has_pmix);
  EXPECT_FALSE(id.is_one_node());
}

TEST(Identity, srun_with_pmi2_is_srun_with_a_descriptor) {
  const Identity id = identity_of(with(
      srun_task(),
      {{"PMI_FD", "13"}, {"PMI_JOBID", "16.0"}, {"PMI_RANK", "5"}, {"PMI_SIZE", "8"}, {"SLURM_MPI_TYPE", "pmi2"}}));
  EXPECT_EQ(id.launcher, Launcher::kSrun);
  EXPECT_EQ(id.pmi_fd, 13);
  EXPECT_EQ(id.mpi_type, "pmi2");
  EXPECT_EQ(id.local_size, 2u);
}

TEST(Identity, srun_with_pmix_is_srun_with_a_server) {
  const Identity id = identity_of(with(srun_task(), {{"PMIX_RANK", "5"},
                                                     {"PMIX_NAMESPACE", "slurm.pmix.16.0"},
                                                     {"PMIX_SERVER_URI2", "pmix-server.2042;tcp4://127.0.0.1:57253"},
                                                     {"SLURM_MPI_TYPE", "pmix"}}));
  EXPECT_EQ(id.launcher, Launcher::kSrun);
  EXPECT_TRUE(id.has_pmix);
  EXPECT_EQ(id.start_name(), "16.0");
}

TEST(Identity, a_batch_script_and_the_shell_of_salloc_are_no_tasks) {
  Environment batch = srun_task();
  for (const char* name : {"SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST"}) batch.erase(name);
  EXPECT_FALSE(identity_of(batch).is_launched());
  // The interactive step, where a site has salloc start one.
  EXPECT_FALSE(identity_of(with(srun_task(), {{"SLURM_STEP_ID", "4294967290"}})).is_launched());
  EXPECT_FALSE(identity_of({{"SLURM_JOB_ID", "4"}, {"SLURM_JOB_NODELIST", "n[1-2]"}}).is_launched());
}

TEST(Identity, a_step_over_parts_of_a_heterogeneous_job_is_one_start) {
  const Identity id = identity_of(with(srun_task(), {{"SLURM_HET_SIZE", "2"},
                                                     {"SLURM_PROCID", "2"},
                                                     {"SLURM_LOCALID", "1"},
                                                     {"SLURM_NODEID", "1"},
                                                     {"SLURM_STEP_NODELIST", "n[1,3-4]"},
                                                     {"SLURM_STEP_TASKS_PER_NODE", "1,2,1"},
                                                     {"SLURM_STEP_NUM_NODES", "3"},
                                                     {"SLURM_STEP_NUM_TASKS", "4"}}));
  EXPECT_TRUE(id.is_het);
  EXPECT_EQ(id.size, 4u);
  EXPECT_EQ(id.local_size, 2u);
  EXPECT_EQ(id.hosts, "n[1,3-4]");
}

TEST(Identity, a_requeued_job_is_another_start) {
  EXPECT_EQ(identity_of(with(srun_task(), {{"SLURM_RESTART_COUNT", "2"}})).start_name(), "16.0r2");
}

TEST(Identity, the_rank_of_mpirun_inside_an_allocation_is_open_mpis_and_not_slurms) {
  // SLURM_* are those of orted, which srun has started once on each node.
  const Identity id = identity_of(with(srun_task(), {{"SLURM_PROCID", "0"},
                                                     {"SLURM_LOCALID", "0"},
                                                     {"OMPI_COMM_WORLD_RANK", "3"},
                                                     {"OMPI_COMM_WORLD_SIZE", "4"},
                                                     {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                                                     {"OMPI_MCA_orte_hnp_uri", "1126498304.0;tcp://10.213.0.1:33495"},
                                                     {"PMIX_RANK", "3"},
                                                     {"PMIX_NAMESPACE", "1126498305"},
                                                     {"PMIX_SERVER_URI2", "1126498304.0;tcp4://127.0.0.1:33495"}}));
  EXPECT_EQ(id.launcher, Launcher::kOpenMpi);
  EXPECT_EQ(id.rank, 3u);
  EXPECT_EQ(id.size, 4u);
  EXPECT_EQ(id.local_rank, 1u);
  EXPECT_TRUE(id.has_pmix);
  EXPECT_EQ(id.node_name, "n3");
}

TEST(Identity, two_mpiruns_with_one_namespace_are_two_starts) {
  const Environment one{{"OMPI_COMM_WORLD_RANK", "0"},       {"OMPI_COMM_WORLD_SIZE", "2"},
                        {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                        {"PMIX_NAMESPACE", "1126498305"},    {"OMPI_MCA_orte_hnp_uri", "1126498304.0;tcp://h1:1"}};
  const Environment other = with(one, {{"OMPI_MCA_orte_hnp_uri", "1126498304.0;tcp://h2:1"}});
  EXPECT_NE(identity_of(one).start_name(), identity_of(other).start_name());
  EXPECT_TRUE(identity_of(one).is_one_node());
}

TEST(Identity, prterun_tells_sizes_through_pmix_only) {
  const Identity id = identity_of({{"PMIX_RANK", "1"},
                                   {"PMIX_NAMESPACE", "prterun-vm-4711@1"},
                                   {"PMIX_SERVER_URI4", "prterun-vm-4711@0.0;tcp4://127.0.0.1:1"}});
  EXPECT_EQ(id.launcher, Launcher::kPrte);
  EXPECT_EQ(id.rank, 1u);
  EXPECT_EQ(id.size, 0u);
  EXPECT_FALSE(id.is_alone());
  EXPECT_FALSE(id.is_one_node());
}

TEST(Identity, hydra_inside_an_allocation_says_its_own_rank) {
  const Identity id = identity_of(with(srun_task(), {{"PMI_RANK", "1"},
                                                     {"PMI_SIZE", "4"},
                                                     {"PMI_FD", "8"},
                                                     {"MPI_LOCALRANKID", "1"},
                                                     {"MPI_LOCALNRANKS", "2"},
                                                     {"HYDI_CONTROL_FD", "7"}}));
  EXPECT_EQ(id.launcher, Launcher::kHydra);
  EXPECT_EQ(id.rank, 1u);
  EXPECT_EQ(id.size, 4u);
  EXPECT_EQ(id.local_size, 2u);
  EXPECT_EQ(id.pmi_fd, 8);
  EXPECT_EQ(id.start_name(), "16.0");
  // Even where its numbers are those of its proxy by chance.
  EXPECT_EQ(identity_of(with(srun_task(), {{"PMI_RANK", "5"}, {"PMI_SIZE", "8"}, {"HYDI_CONTROL_FD", "7"}})).launcher,
            Launcher::kHydra);
}

TEST(Identity, pals_has_names_of_its_own) {
  const Identity id = identity_of({{"PALS_RANKID", "9"},
                                   {"PALS_APID", "4b5f"},
                                   {"PALS_NODEID", "2"},
                                   {"PALS_LOCAL_RANKID", "1"},
                                   {"PMI_RANK", "9"},
                                   {"PMI_SIZE", "16"},
                                   {"PMI_LOCAL_SIZE", "4"}});
  EXPECT_EQ(id.launcher, Launcher::kPals);
  EXPECT_EQ(id.rank, 9u);
  EXPECT_EQ(id.local_rank, 1u);
  EXPECT_EQ(id.local_size, 4u);
  EXPECT_EQ(id.start_name(), "4b5f");
}

TEST(Identity, torchrun_is_no_launcher_of_ours) {
  EXPECT_FALSE(
      identity_of({{"RANK", "3"}, {"LOCAL_RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "n1"}}).is_launched());
}

TEST(Identity, a_child_of_a_task_is_no_task) {
  EXPECT_FALSE(identity_of(with(srun_task(), {{"MOBULA_ROLE", "raylet"}})).is_launched());
}

TEST(Identity, variables_that_contradict_each_other_are_an_error_that_names_them) {
  const auto rank = identify(with(srun_task(), {{"SLURM_PROCID", "8"}}));
  ASSERT_FALSE(rank);
  EXPECT_NE(rank.error().what.find("rank 8 of 8"), std::string::npos) << rank.error().what;
  const auto text = identify(with(srun_task(), {{"SLURM_PROCID", "five"}}));
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().what.find("SLURM_PROCID=five"), std::string::npos) << text.error().what;
  Environment lost = srun_task();
  lost.erase("SLURM_STEP_TASKS_PER_NODE");
  lost["SLURM_TASKS_PER_NODE"] = "2";
  EXPECT_FALSE(identify(lost));
}

TEST(Identity, tasks_per_node_are_read_in_slurms_short_form) {
  EXPECT_EQ(tasks_of_node("2(x3),1", 0), 2u);
  EXPECT_EQ(tasks_of_node("2(x3),1", 2), 2u);
  EXPECT_EQ(tasks_of_node("2(x3),1", 3), 1u);
  EXPECT_EQ(tasks_of_node("2(x3),1", 4), std::nullopt);
  EXPECT_EQ(tasks_of_node("", 0), std::nullopt);
  EXPECT_EQ(tasks_of_node("2(x3", 0), std::nullopt);
  EXPECT_EQ(tasks_of_node("2(x", 0), std::nullopt);
  EXPECT_EQ(tasks_of_node("a", 0), std::nullopt);
  EXPECT_EQ(tasks_of_node("4294967295(x4294967295),1", 4294967295u), 1u);
}

}  // namespace
}  // namespace mobula::slurm

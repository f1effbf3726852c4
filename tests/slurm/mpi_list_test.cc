#include "slurm/mpi_list.h"

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

TEST(MpiList, what_srun_lists_is_read_in_its_old_and_its_new_form) {
  EXPECT_EQ(parse_mpi_list("MPI plugin types are...\n\tpmix\n\tnone\n\tcray_shasta\n\tpmi2\n"
                           "specific pmix plugin versions available: pmix_v4\n"),
            "pmix, none, cray_shasta, pmi2");
  EXPECT_EQ(parse_mpi_list("srun: MPI types are...\nsrun: none\nsrun: pmi2\n"), "none, pmi2");
  EXPECT_EQ(parse_mpi_list("srun: error: no such thing\n"), "");
  EXPECT_EQ(parse_mpi_list(""), "");
}

}  // namespace
}  // namespace mobula::slurm

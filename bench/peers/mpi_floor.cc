// What mpirun takes for a program that only begins and ends MPI.
#include <cstdio>

#include <mpi.h>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank == 0) {
    std::puts("hello world");
    std::fflush(stdout);
  }
  MPI_Finalize();
}

// mpi_app           mobula::init, then MPI_Init: both say the same rank, and both work
// mpi_app wrong     MPI_Init first: init refuses
#include <cstdio>
#include <iostream>
#include <string>

#include <mpi.h>

#include <mobula/mobula.h>

int square(int value) { return value * value; }

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "wrong") {
    MPI_Init(&argc, &argv);
    int code = 3;
    try {
      auto session = mobula::init(argc, argv, {.ranks = mobula::all});
    } catch (const mobula::Error& error) {
      std::cout << error.report() << "\n";
      code = 0;
    }
    MPI_Finalize();
    return code;
  }
  auto session = mobula::init(argc, argv, {.ranks = mobula::all});
  MPI_Init(&argc, &argv);
  int rank = -1, size = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int mine = mobula::remote<&square>(rank).get();
  int total = 0;
  MPI_Allreduce(&mine, &total, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  const bool agree = rank == static_cast<int>(session.rank()) && size == static_cast<int>(session.size());
  std::cout << "rank " << rank << " of " << size << (agree ? " agrees" : " does not agree") << ", squares " << total
            << "\n";
  MPI_Finalize();
  return agree ? 0 : 1;
}

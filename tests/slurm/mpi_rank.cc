// mpi_rank WHAT [PLACE]: a program that knows MPI and nothing of Mobula.  Each rank says who and where it is; then
//   hello   ends well
//   exit    rank 1 ends with 3 after MPI_Finalize
//   crash   rank 1 dies by SIGKILL
//   abort   rank 1 calls MPI_Abort with 5
//   hold    writes its pid into the directory PLACE, and waits
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include <mpi.h>

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "hello";
  MPI_Init(&argc, &argv);
  int rank = 0, size = 0, sum = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::printf("rank %d of %d on %s, sum %d\n", rank, size, host.data(), sum);
  std::fprintf(stderr, "rank %d complains\n", rank);
  std::fflush(stdout);
  MPI_Barrier(MPI_COMM_WORLD);
  if (what == "crash" && rank == 1) ::raise(SIGKILL);
  if (what == "abort" && rank == 1) MPI_Abort(MPI_COMM_WORLD, 5);
  if (what == "hold" || what == "crash" || what == "abort") {
    if (what == "hold") {
      const std::string path = std::string(argv[2]) + "/rank-" + std::to_string(rank);
      std::ofstream(path + ".new") << ::getpid();
      std::rename((path + ".new").c_str(), path.c_str());
    }
    for (;;) ::pause();
  }
  MPI_Finalize();
  return what == "exit" && rank == 1 ? 3 : 0;
}

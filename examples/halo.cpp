// MPI and Mobula in one program: a rod whose pieces the ranks of MPI hold and whose edges they exchange at MPI's speed,
// while Mobula's tasks look at snapshots of it beside the computation, on whatever core of whatever node is free.
//
//   mpirun ./halo       srun --mpi=pmix ./halo
#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include <mpi.h>

#include <mobula/mobula.h>

struct Look {
  int step;
  double heat;
  double steepest;  // Between two neighbouring cells.
};

// A task: runs on any node, and shares nothing with MPI.
Look look(int step, std::vector<double> cells) {
  Look out{step, 0, 0};
  for (std::size_t i = 0; i < cells.size(); ++i) {
    out.heat += cells[i];
    if (i > 0) out.steepest = std::max(out.steepest, std::abs(cells[i] - cells[i - 1]));
  }
  return out;
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv, {.ranks = mobula::all});  // Before MPI_Init.
  MPI_Init(&argc, &argv);
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  constexpr std::size_t kCells = 1000;
  constexpr int kSteps = 400, kEvery = 100;
  const int left = rank == 0 ? MPI_PROC_NULL : rank - 1;
  const int right = rank == size - 1 ? MPI_PROC_NULL : rank + 1;

  std::vector<double> cells(kCells + 2, 0.0), next(kCells + 2, 0.0);  // With a halo cell at each end.
  if (rank == 0) cells[1] = 1000;
  std::vector<mobula::Ref<Look>> looks;
  for (int step = 1; step <= kSteps; ++step) {
    cells.front() = cells[1];  // Insulated, where there is no neighbour.
    cells.back() = cells[kCells];
    MPI_Sendrecv(&cells[1], 1, MPI_DOUBLE, left, 0, &cells[kCells + 1], 1, MPI_DOUBLE, right, 0, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(&cells[kCells], 1, MPI_DOUBLE, right, 1, &cells[0], 1, MPI_DOUBLE, left, 1, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    for (std::size_t i = 1; i <= kCells; ++i) next[i] = cells[i] + 0.25 * (cells[i - 1] - 2 * cells[i] + cells[i + 1]);
    std::swap(cells, next);
    if (step % kEvery == 0)
      looks.push_back(mobula::remote<&look>(step, std::vector<double>(cells.begin() + 1, cells.end() - 1)));
  }

  bool kept = true;
  for (auto& ref : looks) {
    const Look mine = std::move(ref).get();
    double heat = 0, steepest = 0;
    MPI_Reduce(&mine.heat, &heat, 1, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    MPI_Reduce(&mine.steepest, &steepest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank != 0) continue;
    std::cout << "step " << mine.step << ": heat " << heat << ", steepest " << steepest << "\n";
    kept = kept && std::abs(heat - 1000) < 1e-6;
  }
  MPI_Finalize();
  return kept ? 0 : 1;
}

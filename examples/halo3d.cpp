// Heat in a cube that 2 x 2 x 2 members hold in blocks.  The members of each line along an axis are a sub-group, and
// give each other the faces of their blocks.  Checked against one process that holds the whole cube.
#include <array>
#include <cmath>
#include <iostream>
#include <vector>

#include <mobula/mobula.h>

constexpr int kSide = 2, kSteps = 20;

// n^3 cells and a layer of others' cells around them.
struct Cube {
  explicit Cube(int cells) : n(cells), at(static_cast<std::size_t>((n + 2) * (n + 2) * (n + 2))) {}
  double& operator()(int x, int y, int z) { return at[static_cast<std::size_t>((x * (n + 2) + y) * (n + 2) + z)]; }
  double& on_face(int axis, int depth, int i, int j) {
    return axis == 0 ? (*this)(depth, i, j) : axis == 1 ? (*this)(i, depth, j) : (*this)(i, j, depth);
  }
  void each(auto&& f) {
    for (int i = 0; i < n * n * n; ++i) f(i / n / n + 1, i / n % n + 1, i % n + 1);
  }
  void step() {
    Cube next(n);
    each([&](int x, int y, int z) {
      next(x, y, z) = (*this)(x, y, z) +
                      0.1 * ((*this)(x - 1, y, z) + (*this)(x + 1, y, z) + (*this)(x, y - 1, z) + (*this)(x, y + 1, z) +
                             (*this)(x, y, z - 1) + (*this)(x, y, z + 1) - 6 * (*this)(x, y, z));
    });
    at = std::move(next.at);
  }
  int n;
  std::vector<double> at;
};
double heat_at(int x, int y, int z) { return x * y + 3 * z; }

struct Member {
  std::vector<double> run(int n) {
    const mobula::Communicator& me = mobula::self();
    const std::array<int, 3> place{me.rank / 4, me.rank / 2 % 2, me.rank % 2};
    std::vector<mobula::Communicator> lines;  // Those that differ from this member along one axis only.
    for (int axis = 0; axis < 3; ++axis) lines.push_back(me.split(me.rank - place[axis] * (4 >> axis), place[axis]));
    Cube cube(n);
    cube.each(
        [&](int x, int y, int z) { cube(x, y, z) = heat_at(place[0] * n + x, place[1] * n + y, place[2] * n + z); });
    std::vector<double> mine(static_cast<std::size_t>(n * n)), theirs(mine.size());
    for (int s = 0; s < kSteps; ++s) {
      for (int axis = 0; axis < 3; ++axis) {
        const bool low = place[axis] == 0;  // Its neighbour is above it.
        for (int k = 0; k < n * n; ++k) mine[k] = cube.on_face(axis, low ? n : 1, k / n + 1, k % n + 1);
        lines[axis].sendrecv(low ? 1 : 0, std::span<const double>(mine), low ? 1 : 0, std::span(theirs));
        for (int k = 0; k < n * n; ++k) cube.on_face(axis, low ? n + 1 : 0, k / n + 1, k % n + 1) = theirs[k];
      }
      cube.step();
    }
    std::vector<double> out;
    cube.each([&](int x, int y, int z) { out.push_back(cube(x, y, z)); });
    return out;
  }
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  constexpr int kCells = 8, kWhole = kSide * kCells;
  const auto members = mobula::group<Member>.with({.size = kSide * kSide * kSide})();
  const std::vector<std::vector<double>> blocks = members.each<&Member::run>()(kCells).get();
  Cube whole(kWhole);
  whole.each([&](int x, int y, int z) { whole(x, y, z) = heat_at(x, y, z); });
  for (int s = 0; s < kSteps; ++s) whole.step();
  double difference = 0, heat = 0;
  whole.each([&](int x, int y, int z) {
    const int rank = (x - 1) / kCells * 4 + (y - 1) / kCells * 2 + (z - 1) / kCells;
    const int cell = ((x - 1) % kCells * kCells + (y - 1) % kCells) * kCells + (z - 1) % kCells;
    difference = std::max(difference, std::abs(blocks[rank][cell] - whole(x, y, z)));
    heat += whole(x, y, z);
  });
  std::cout << "heat " << heat << " after " << kSteps << " steps, difference to one process " << difference << "\n";
  return difference == 0 ? 0 : 1;
}

// C = A B on a grid of 2 x 2 members (SUMMA): each holds a block of A, B and C; in each step a column of the grid gives
// its blocks of A to its rows, a row its blocks of B to its columns.  Checked against one call of OpenBLAS.
#include <cblas.h>

#include <cmath>
#include <iostream>
#include <vector>

#include <mobula/mobula.h>

constexpr int kGrid = 2, kBlock = 128, kN = kGrid * kBlock;

double a_at(int i, int j) { return std::sin(0.01 * i + 0.3 * j); }
double b_at(int i, int j) { return std::cos(0.02 * i - 0.1 * j); }

void multiply_add(int n, const std::vector<double>& a, const std::vector<double>& b, std::vector<double>& c) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.data(), n, b.data(), n, 1, c.data(), n);
}

template <class F>
std::vector<double> block(int n, int row, int column, F&& at) {
  std::vector<double> out;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) out.push_back(at(row * n + i, column * n + j));
  }
  return out;
}

struct Member {
  // This member's block of the product.
  std::vector<double> multiply() {
    const mobula::Communicator& me = mobula::self();
    const int row = me.rank / kGrid, column = me.rank % kGrid;
    const mobula::Communicator in_row = me.split(row, column), in_column = me.split(column, row);
    const std::vector<double> a = block(kBlock, row, column, a_at), b = block(kBlock, row, column, b_at);
    std::vector<double> c(a.size());
    for (int k = 0; k < kGrid; ++k) {
      std::vector<double> their_a = a, their_b = b;
      in_row.broadcast(std::span(their_a), k);
      in_column.broadcast(std::span(their_b), k);
      multiply_add(kBlock, their_a, their_b, c);
    }
    return c;
  }
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  openblas_set_num_threads(1);
  const auto members = mobula::group<Member>.with({.size = kGrid * kGrid})();
  const std::vector<std::vector<double>> blocks = members.each<&Member::multiply>()().get();

  std::vector<double> whole(static_cast<std::size_t>(kN) * kN);
  multiply_add(kN, block(kN, 0, 0, a_at), block(kN, 0, 0, b_at), whole);
  double difference = 0;
  for (int i = 0; i < kN; ++i) {
    for (int j = 0; j < kN; ++j) {
      const auto& c = blocks[static_cast<std::size_t>(i / kBlock * kGrid + j / kBlock)];
      const double found = c[static_cast<std::size_t>(i % kBlock * kBlock + j % kBlock)];
      difference = std::max(difference, std::abs(found - whole[static_cast<std::size_t>(i * kN + j)]));
    }
  }
  std::cout << kN << " x " << kN << " on " << kGrid << " x " << kGrid
            << " members: " << (difference < 1e-9 ? "as OpenBLAS has it" : "not what OpenBLAS has") << "\n";
  return difference < 1e-9 ? 0 : 1;
}

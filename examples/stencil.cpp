// Heat flows through a rod that actors hold in pieces.  Each step every actor gives its edges to its neighbours: as
// Refs, so that the cells travel from actor to actor and the driver only says who talks to whom.
#include <cmath>
#include <iostream>
#include <tuple>
#include <vector>

#include <mobula/mobula.h>

class Piece {
 public:
  Piece(int cells, double left_end) : cells_(static_cast<std::size_t>(cells)) { cells_.front() = left_end; }

  double left_edge() const { return cells_.front(); }
  double right_edge() const { return cells_.back(); }
  // One step of explicit diffusion, with the neighbours' edges as halo; returns the new edges.
  std::tuple<double, double> step(double left, double right) {
    std::vector<double> next(cells_.size());
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const double before = i == 0 ? left : cells_[i - 1];
      const double after = i + 1 == cells_.size() ? right : cells_[i + 1];
      next[i] = cells_[i] + 0.25 * (before - 2 * cells_[i] + after);
    }
    cells_ = std::move(next);
    return {cells_.front(), cells_.back()};
  }
  std::vector<double> cells() const { return cells_; }

 private:
  std::vector<double> cells_;
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  constexpr int kPieces = 4, kCells = 50, kSteps = 200;
  constexpr double kHot = 100, kCold = 0;

  std::vector<mobula::ActorHandle<Piece>> pieces;
  std::vector<mobula::Ref<double>> left, right;  // The edges of each piece.
  for (int i = 0; i < kPieces; ++i) {
    pieces.push_back(mobula::actor<Piece>(kCells, i == 0 ? kHot : kCold));
    left.push_back(mobula::method<&Piece::left_edge>(pieces.back()));
    right.push_back(mobula::method<&Piece::right_edge>(pieces.back()));
  }
  const auto hot = mobula::put(kHot), cold = mobula::put(kCold);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<mobula::Ref<double>> new_left, new_right;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const auto& from_left = i == 0 ? hot : right[i - 1];
      const auto& from_right = i + 1 == pieces.size() ? cold : left[i + 1];
      auto [l, r] = mobula::method<&Piece::step>.split()(pieces[i], from_left, from_right);
      new_left.push_back(std::move(l));
      new_right.push_back(std::move(r));
    }
    left = std::move(new_left);
    right = std::move(new_right);
  }

  // The same rod in one piece.
  Piece whole(kPieces * kCells, kHot);
  for (int step = 0; step < kSteps; ++step) whole.step(kHot, kCold);
  double difference = 0, heat = 0;
  std::size_t at = 0;
  for (const auto& piece : pieces) {
    for (const double cell : mobula::method<&Piece::cells>(piece).get()) {
      difference = std::max(difference, std::abs(cell - whole.cells()[at++]));
      heat += cell;
    }
  }
  std::cout << "heat " << heat << " after " << kSteps << " steps, difference to one process " << difference << "\n";
  return difference == 0 ? 0 : 1;
}

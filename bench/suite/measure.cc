#include "bench/suite/measure.h"

#include <algorithm>

namespace mobula::bench {
namespace {

// One side of a row while its rounds go on.
struct Taker {
  std::string side;
  Figure* figure;
  std::vector<double> values;
  std::string why;
};

void settle(Taker& taker) {
  Figure& figure = *taker.figure;
  if (!taker.why.empty() || taker.values.empty()) {
    figure.median.why = taker.why;
    return;
  }
  std::sort(taker.values.begin(), taker.values.end());
  figure.median.value = taker.values[taker.values.size() / 2];
  figure.min = taker.values.front();
  figure.max = taker.values.back();
}

}  // namespace

MeasuredRow measure(const Row& row, Sides& sides, bool quick) {
  MeasuredRow out;
  out.row = row;
  std::vector<Taker> takers;
  takers.push_back({row.ours, &out.ours, {}, ""});
  if (!row.floor.empty()) takers.push_back({row.floor, &out.floor, {}, ""});
  for (const auto& [name, side] : row.peers) {
    if (sides.wanted(side)) takers.push_back({side, &out.peers[name], {}, ""});
  }
  const auto take = [&](Taker& taker, bool short_one) -> Answer {
    if (!taker.why.empty()) return {};
    const Answer answer = sides.measure(taker.side, row.metric, short_one);
    if (!answer.value) {
      taker.why = answer.why;
      sides.stop(taker.side);
    }
    return answer;
  };
  const bool warm_up = !quick && row.rounds > 1;
  for (Taker& taker : takers) {
    if (warm_up) take(taker, true);
  }
  const auto rounds = static_cast<std::size_t>(quick ? 1 : row.rounds);
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < takers.size(); ++i) {
      Taker& taker = takers[(round + i) % takers.size()];
      if (const Answer answer = take(taker, quick); answer.value) taker.values.push_back(*answer.value);
    }
  }
  for (Taker& taker : takers) settle(taker);
  return out;
}

}  // namespace mobula::bench

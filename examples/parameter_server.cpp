// Fits a line by gradient descent.  An actor holds the weights; tasks compute gradients on their shards of the data,
// and each step goes on as soon as any shard has an answer.
#include <cmath>
#include <iostream>
#include <vector>

#include <mobula/mobula.h>

struct Weights {
  double slope = 0;
  double offset = 0;
};

class ParameterServer {
 public:
  explicit ParameterServer(double rate) : rate_(rate) {}
  Weights push(const Weights& gradient) {
    weights_.slope -= rate_ * gradient.slope;
    weights_.offset -= rate_ * gradient.offset;
    return weights_;
  }
  Weights weights() const { return weights_; }

 private:
  double rate_;
  Weights weights_;
};

// The gradient of the squared error on points of y = 3x + 1 with x in the shard's part of [-1, 1].
Weights gradient(const Weights& w, int shard, int shards) {
  constexpr int kPoints = 1000;
  Weights sum;
  for (int i = 0; i < kPoints; ++i) {
    const double x = 2 * (shard + i / static_cast<double>(kPoints)) / shards - 1;
    const double error = w.slope * x + w.offset - (3 * x + 1);
    sum.slope += 2 * error * x / kPoints;
    sum.offset += 2 * error / kPoints;
  }
  return sum;
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  constexpr int kShards = 4, kSteps = 400;
  const auto server = mobula::actor<ParameterServer>(0.1);

  std::vector<mobula::Ref<Weights>> updates;
  const auto start = [&](int shard, const mobula::Ref<Weights>& from) {  // Refs, not values: nothing waits here.
    return mobula::method<&ParameterServer::push>(server, mobula::remote<&gradient>(from, shard, kShards));
  };
  for (int shard = 0; shard < kShards; ++shard) {
    updates.push_back(start(shard, mobula::method<&ParameterServer::weights>(server)));
  }
  for (int step = 0; step < kSteps; ++step) {
    auto [done, rest] = mobula::wait(updates, {.count = 1});
    rest.push_back(start(step % kShards, done[0]));
    updates = std::move(rest);
  }
  static_cast<void>(mobula::get(updates));
  const Weights w = mobula::method<&ParameterServer::weights>(server).get();
  std::cout << "y = " << std::round(w.slope * 10) / 10 << " x + " << std::round(w.offset * 10) / 10 << "\n";
  return std::abs(w.slope - 3) < 0.1 && std::abs(w.offset - 1) < 0.1 ? 0 : 1;
}

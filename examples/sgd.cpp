// Data-parallel SGD: four trainers learn from a quarter of each batch and sum up their gradients, so that all take the
// same step.  One process that takes all of each batch must come to the same.
//
//   sgd [FILE of patients]
#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include <mobula/mobula.h>

#include "heart.h"

constexpr std::size_t kLearn = 200, kBatch = 40;  // The other patients are for the test.
constexpr int kEpochs = 60;
constexpr double kRate = 0.02;

// Rank r of n takes every n-th patient of a batch, from the r-th on.
std::vector<double> gradient(const Network& net, std::span<const Patient> batch, std::size_t rank, std::size_t size) {
  std::vector<double> sum(Network::kWeights);
  for (std::size_t i = rank; i < batch.size(); i += size) net.add_gradient(batch[i], sum);
  return sum;
}

class Trainer {
 public:
  explicit Trainer(std::string path) : patients_(read_patients(path)) {}

  std::vector<double> train() {
    const mobula::Communicator& me = mobula::self();
    const auto rank = static_cast<std::size_t>(me.rank), size = static_cast<std::size_t>(me.size);
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
      for (std::size_t at = 0; at < kLearn; at += kBatch) {
        auto sum = gradient(net_, std::span(patients_).subspan(at, kBatch), rank, size);
        me.allreduce(std::span(sum));
        net_.step(sum, kRate);
      }
    }
    return net_.weights;
  }

 private:
  std::vector<Patient> patients_;
  Network net_;
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::string path = argc > 1 ? argv[1] : "/usr/share/doc/liblinear-tools/examples/heart_scale";
  const auto trainers = mobula::group<Trainer>.with({.size = 4})(path);
  const std::vector<std::vector<double>> weights = trainers.each<&Trainer::train>()().get();

  const std::vector<Patient> patients = read_patients(path);
  const auto test = std::span(patients).subspan(kLearn);
  Network alone, together;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    for (std::size_t at = 0; at < kLearn; at += kBatch)
      alone.step(gradient(alone, std::span(patients).subspan(at, kBatch), 0, 1), kRate);
  }
  together.weights = weights.front();
  double difference = 0;
  for (std::size_t i = 0; i < Network::kWeights; ++i)
    difference = std::max(difference, std::abs(alone.weights[i] - together.weights[i]));
  const bool alike = std::ranges::all_of(weights, [&](const auto& w) { return w == weights.front(); });

  std::cout << together.right(test) << " of " << test.size() << " right, " << alone.right(test) << " by one process, "
            << (difference < 1e-9 ? "the same weights" : "other weights") << (alike ? " on all ranks\n" : "\n");
  return difference < 1e-9 && alike ? 0 : 1;
}

// Data-parallel SGD that goes on when a trainer is killed: the others call rebuild(), the dead one is started again
// under its rank, and a survivor gives it the weights and says where they are.
//
//   sgd_rebuild [FILE of patients]
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <string>
#include <vector>

#include <mobula/mobula.h>

#include "heart.h"

constexpr int kLearn = 200, kSteps = 300, kDeathAt = 120, kVictim = 2;  // The other patients are for the test.

class Trainer {
 public:
  explicit Trainer(std::string path) : patients_(read_patients(path)) {}

  std::vector<double> train(bool dies) {
    const bool newcomer = mobula::self().epoch() == 0;
    bool whole = !newcomer;
    while (step_ < kSteps) {
      try {
        if (!whole) catch_up();
        whole = true;
        if (dies && !newcomer && step_ == kDeathAt && mobula::self().rank == kVictim) ::kill(::getpid(), SIGKILL);
        learn();
      } catch (const mobula::CollectiveError&) {
        whole = false;
      }
    }
    return net_.weights;
  }

 private:
  void learn() {
    const mobula::Communicator& me = mobula::self();
    std::vector<double> sum(Network::kWeights);
    for (int i = me.rank; i < kLearn; i += me.size) net_.add_gradient(patients_[static_cast<std::size_t>(i)], sum);
    me.allreduce(std::span(sum));
    net_.step(sum, 0.01);
    ++step_;
  }
  // All take the state of the member that has come furthest.
  void catch_up() {
    mobula::self().rebuild();
    const mobula::Communicator& me = mobula::self();
    std::vector<int> steps(static_cast<std::size_t>(me.size));
    me.allgather(std::span<const int>(&step_, 1), std::span(steps));
    const auto furthest = std::ranges::max_element(steps);
    me.broadcast(std::span(net_.weights), static_cast<int>(furthest - steps.begin()));
    step_ = *furthest;
  }

  std::vector<Patient> patients_;
  Network net_;
  int step_ = 0;
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::string path = argc > 1 ? argv[1] : "/usr/share/doc/liblinear-tools/examples/heart_scale";
  const std::vector<Patient> patients = read_patients(path);
  std::array<int, 2> right{};
  for (const bool dies : {false, true}) {
    const auto trainers = mobula::group<Trainer>.with({.size = 4, .max_restarts = 1, .max_task_retries = 1})(path);
    Network net;
    net.weights = trainers.each<&Trainer::train>()(dies).get().front();
    right[dies ? 1 : 0] = net.right(std::span(patients).subspan(kLearn));
  }
  std::cout << right[0] << " of " << patients.size() - kLearn << " right, " << right[1]
            << " where a trainer was killed\n";
  return right[0] == right[1] ? 0 : 1;
}

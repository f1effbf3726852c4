// Counts in actors until it is preempted; the next run goes on where they were.
//
//   preempt_app [hang|plain|tasks]   hang: a callback and an actor that do not end in time; plain: nothing to save;
//                                    tasks: one task that ends a second later, and one that waits for a CPU
#include <unistd.h>

#include <array>
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <mobula/mobula.h>

namespace {

void forever() {
  for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
}

class Counter {
 public:
  int add(int n) { return count_ += n; }
  void hang() { forever(); }
  int count() { return count_; }
  std::string host() {
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    return name.data();
  }
  void save(mobula::Archive& ar) const { ar(count_, history_, std::string("end")); }
  void load(mobula::Archive& ar) {
    std::string end;
    ar(count_, history_, end);
    if (end != "end" || history_.size() != 3000) throw std::runtime_error("not what was saved");
  }

 private:
  int count_ = 0;
  std::vector<int> history_ = std::vector<int>(3000, 7);  // Longer than what travels in line.
};

class Plain {
 public:
  int ping() { return 1; }
};

int slow(std::string name) {
  mobula::save_state(name + "-began", 1);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  mobula::save_state(name + "-ended", 1);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::string mode = argc > 1 ? argv[1] : "";
  std::cout << "driver " << getpid() << std::endl;

  if (mode == "plain") {
    auto plain = mobula::actor<Plain>();
    plain.at<&Plain::ping>()().get();
    std::cout << "ready" << std::endl;
    forever();
  }
  if (const auto before = mobula::resumed()) {
    int saved = -1;
    mobula::load_state("total", saved);
    std::cout << "resumed run " << before->run << " total " << saved << std::endl;
  }
  std::vector<mobula::ActorHandle<Counter>> counters;
  int total = 0;
  for (int i = 0; i < 3; ++i) {
    counters.push_back(
        mobula::actor<Counter>.with({.name = "counter/" + std::to_string(i), .scheduling = mobula::Spread{}})());
    total += counters.back().at<&Counter::count>()().get();
  }
  std::cout << "actors have " << total << std::endl << "hosts";
  for (auto& counter : counters) std::cout << " " << counter.at<&Counter::host>()().get();
  std::cout << std::endl;
  total = 0;
  for (int i = 0; i < 3; ++i) total += counters[static_cast<std::size_t>(i)].at<&Counter::add>()(i + 1).get();
  mobula::on_preempt([&total, &mode] {
    mobula::save_state("total", total);
    std::cout << "callback " << mobula::preempted() << std::endl;
    if (mode == "hang") forever();
  });
  std::vector<mobula::Ref<int>> tasks;
  if (mode == "tasks") {
    tasks.push_back(mobula::remote<&slow>(std::string("first")));
    tasks.push_back(mobula::remote<&slow>(std::string("second")));  // The first has the only CPU.
    int began = 0;
    while (!mobula::load_state("first-began", began)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  mobula::Ref<void> hangs;
  if (mode == "hang") hangs = counters[0].at<&Counter::hang>()();
  std::cout << "ready" << std::endl;
  forever();
}

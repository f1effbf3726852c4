// What the tests of the CLI run: a task on each of some workers, and an exit code of its own.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <mobula/mobula.h>

std::string where() {
  std::cout << "a worker was here\n";
  return std::to_string(::getpid());
}

int say(std::string text) {
  std::cout << text << std::endl;
  return ::getpid();
}

struct Parrot {
  int pid() { return ::getpid(); }
  int say(std::string text) {
    std::cout << text << std::endl;
    return ::getpid();
  }
};

// chorus TEXT COUNT: from so many workers at once.  on NODE TEXT: from a worker of the node, and from an actor there.
int speak(const std::string& how, char** argv) {
  if (how == "chorus") {
    std::vector<mobula::ActorHandle<Parrot>> parrots;
    for (int i = std::atoi(argv[3]); i > 0; --i) parrots.push_back(mobula::actor<Parrot>());
    for (auto& parrot : parrots) mobula::method<&Parrot::pid>(parrot).get();
    std::vector<mobula::Ref<int>> said;
    for (auto& parrot : parrots) said.push_back(mobula::method<&Parrot::say>(parrot, std::string(argv[2])));
    for (auto& one : said) one.get();
    return 0;
  }
  const mobula::Scheduling there = mobula::NodeAffinity{argv[2]};
  auto parrot = mobula::actor<Parrot>.with({.name = "polly", .scheduling = there})();
  mobula::method<&Parrot::say>(parrot, std::string("parrot ") + argv[3]).get();
  mobula::remote<&say>.with({.scheduling = there})(std::string("task ") + argv[3]).get();
  return 0;
}

// An actor that holds both CPUs of the node, and work of each kind that waits for it.
int crowd() {
  auto polly = mobula::actor<Parrot>.with({.cpus = 2, .name = "polly"})();
  mobula::method<&Parrot::pid>(polly).get();
  auto task = mobula::remote<&where>.with({.priority = 3})();
  auto late = mobula::actor<Parrot>.with({.cpus = 1, .name = "late"})();
  [[maybe_unused]] const auto group = mobula::placement_group({{.cpus = 2}}, {.name = "gang"});
  std::cout << "holding" << std::endl;
  ::pause();
  return 0;
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  if (argc > 1 && std::string(argv[1]) == "crowd") return crowd();
  if (argc > 3) return speak(argv[1], argv);
  std::cout << "pid of a worker: " << mobula::remote<&where>().get() << "\n";
  if (argc > 1 && std::string(argv[1]) == "hold") {
    std::cout << "holding" << std::endl;
    ::pause();
  }
  return argc > 1 ? std::atoi(argv[1]) : 0;
}

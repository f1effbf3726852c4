#include "tests/e2e/misuse_scenarios.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace talk {

int speak() {
  std::printf("a task says so\n");
  return 1;
}
struct Parrot {
  int speak() {
    std::printf("an actor says so\n");
    return 1;
  }
};
struct Stillborn {
  Stillborn() { throw std::runtime_error("never"); }
  int speak() { return 1; }
};

}  // namespace talk

namespace mobula::testing {
namespace {

int ends(int code) { std::exit(code); }
struct Counter {
  int add(int k) { return n += k; }
  int n = 0;
};

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

int fail(const std::string& text) {
  say("FAILED: " + text);
  return 1;
}

int children_are_ignored(int argc, char** argv) {
  std::signal(SIGCHLD, SIG_IGN);
  const auto session = init(argc, argv);
  const auto got = remote<&ends>.with({.max_retries = 0})(9).try_get(kSoon);
  if (got.has_value()) return fail("it has not died");
  say(got.error().report());
  const auto counter = actor<Counter>();
  if (counter.at<&Counter::add>()(2).get(kSoon) != 2) return fail("a wrong count");
  // The workers keep what the program asked for.
  return remote<[] { return std::signal(SIGCHLD, SIG_DFL) == SIG_IGN ? 0 : 1; }>().get(kSoon);
}

int lines_are_tagged(int argc, char** argv) {
  const auto session = init(argc, argv);
  (void)remote<&talk::speak>().get(kSoon);
  (void)actor<talk::Parrot>().at<&talk::Parrot::speak>()().get(kSoon);
  const auto got = actor<talk::Stillborn>().at<&talk::Stillborn::speak>()().try_get(kSoon);
  if (got.has_value()) return fail("it lives");
  say(got.error().what());
  return 0;
}

}  // namespace

int misuse(const std::string& scenario, int argc, char** argv) {
  static const std::map<std::string, int (*)(int, char**)> scenarios{
      {"children_are_ignored", &children_are_ignored},
      {"lines_are_tagged", &lines_are_tagged}};
  const auto it = scenarios.find(scenario);
  return it == scenarios.end() ? fail("no such scenario") : it->second(argc, argv);
}

}  // namespace mobula::testing

#include "tests/e2e/end_scenarios.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

void say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

// Writes when it is destroyed, and not before: what a user's file or buffer does.
class Diary {
 public:
  Diary(const std::string& path, int slowly_ms) : file_(path), slowly_ms_(slowly_ms) {}
  Diary(const Diary&) = delete;
  ~Diary() {
    ::usleep(static_cast<useconds_t>(slowly_ms_) * 1000);
    file_ << "closed";
  }
  int hold(const std::string& gate) {
    const bool in_time = enter(gate);
    file_ << "held ";
    return in_time ? 1 : -1;
  }
  int write(int n) {
    file_ << n << ' ';
    return n;
  }

 private:
  std::ofstream file_;
  int slowly_ms_;
};

// The file that the test looks at.
std::string diary() { return std::getenv("MOBULA_TEST_DIARY"); }

int hold_and_say(const std::string& gate, int n) {
  if (n < 2) enter(gate);
  say("task " + std::to_string(n) + " has ended");
  return n;
}

// An actor and two tasks that run, and more that would begin when those have ended.
int interrupted() {
  const Gate gate;
  const auto a = actor<Diary>.with({.cpus = 0})(diary(), 0);
  std::vector<Ref<int>> refs{a.at<&Diary::hold>()(gate.path())};
  for (int i = 0; i < 2; ++i) refs.push_back(remote<&hold_and_say>(gate.path(), i));
  if (!gate.wait_entered(3)) return 1;
  for (int i = 2; i < 40; ++i) refs.push_back(remote<&hold_and_say>(gate.path(), i));
  say("ready " + gate.path());
  try {
    (void)get(refs);
    say("FAILED: all tasks have ended");
  } catch (const Error& error) {
    say(std::string("FAILED: the program was told: ") + error.report());
  }
  return 1;
}

// A session that ends, in order or by an exception, with an actor that is still there.
int ends_with_an_actor() {
  const auto a = actor<Diary>(diary(), 0);
  return a.at<&Diary::write>()(7).get(kSoon) == 7 ? 0 : 1;
}

int ends_with_a_slow_destructor() {
  const auto a = actor<Diary>(diary(), 900);
  return a.at<&Diary::write>()(7).get(kSoon) == 7 ? 0 : 1;
}

int drops_its_actor() {
  {
    const auto a = actor<Diary>(diary(), 0);
    if (a.at<&Diary::write>()(1).get(kSoon) != 1) return 1;
    (void)a.at<&Diary::write>()(2);  // Still to run when the last handle goes.
  }
  const auto until = std::chrono::steady_clock::now() + kSoon;
  for (std::string text; std::chrono::steady_clock::now() < until; ::usleep(1000)) {
    std::getline(std::ifstream(diary()), text);
    if (text == "1 2 closed") return 0;
  }
  say("FAILED: the actor lives on");
  return 1;
}

// One worker after the other is made and killed.
int goes_through_workers() {
  for (int i = 0; i < 10; ++i) {
    const auto a = actor<Diary>("/dev/null", 0);
    if (a.at<&Diary::write>()(i).get(kSoon) != i) return 1;
    kill(a);
  }
  say("ready");
  for (;;) ::pause();
}

// Goes on when its cluster has gone.
int outlives_its_cluster() {
  const Gate gate;
  const auto held = remote<&hold_and_say>(gate.path(), 0);
  if (!gate.wait_entered(1)) return 1;
  say("ready");
  try {
    (void)held.get(kSoon);
  } catch (const ClusterDown&) {
    say("the cluster has gone");
  }
  for (;;) ::pause();
}

}  // namespace

const std::map<std::string, int (*)()>& end_scenarios() {
  static const std::map<std::string, int (*)()> all{{"interrupted", &interrupted},
                                                    {"ends_with_an_actor", &ends_with_an_actor},
                                                    {"ends_with_a_slow_destructor", &ends_with_a_slow_destructor},
                                                    {"drops_its_actor", &drops_its_actor},
                                                    {"goes_through_workers", &goes_through_workers},
                                                    {"outlives_its_cluster", &outlives_its_cluster}};
  return all;
}

}  // namespace mobula::testing

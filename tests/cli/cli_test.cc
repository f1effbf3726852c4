// The mobula program as its users call it.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/os/process.h"
#include "tests/support/leak_check.h"
#include "tests/support/shell.h"

namespace mobula::testing {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kMobula = MOBULA_PROGRAM;
const std::string kApp = MOBULA_TEST_APP;

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    ::setenv("MOBULA_STORE_BYTES", "64M", 1);
    ::unsetenv("MOBULA_CONFIG");
  }
  void TearDown() override { EXPECT_THAT(leaks_.leftovers(5s), IsEmpty()); }
  std::string start_head() {
    const auto started = shell(kMobula + " start --head --json --cpus 2");
    EXPECT_EQ(started.code, 0) << started.out;
    return json::parse(started.out).value("cluster", "");
  }

  LeakCheck leaks_;
};

TEST_F(CliTest, run_gives_the_program_its_nodes_and_returns_its_exit_code) {
  const auto ran = shell(kMobula + " run --nodes 2 --cpus-per-node 1 -- " + kApp + " 7");
  EXPECT_EQ(ran.code, 7) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("pid of a worker: "));
  EXPECT_THAT(ran.out, HasSubstr("a worker was here"));
  EXPECT_EQ(shell(kMobula + " run").code, 2);
  EXPECT_EQ(shell(kMobula + " run -- /no/such/program").code, 127);
  EXPECT_THAT(shell(kMobula + " run --set node_lnik=shm -- true").out, HasSubstr("node_link"));
}

TEST_F(CliTest, a_cluster_outlives_its_programs_until_it_is_stopped) {
  const std::string cluster = start_head();
  ASSERT_FALSE(cluster.empty());
  for (int i = 0; i < 2; ++i) {
    const auto ran = shell(kMobula + " submit -- " + kApp + " 3");
    EXPECT_EQ(ran.code, 3) << ran.out;
    EXPECT_THAT(ran.out, HasSubstr("pid of a worker: "));
  }
  const auto status = json::parse(shell(kMobula + " status --json").out);
  EXPECT_EQ(status["cluster"], cluster);
  EXPECT_EQ(status["nodes"].size(), 1u);
  EXPECT_EQ(status["total"]["cpus"], 2);
  EXPECT_EQ(status["this_node"]["refused_connections"], 0);
  EXPECT_TRUE(status["this_node"]["metrics"].is_object() || status["this_node"]["metrics"].is_array());
  const auto jobs = json::parse(shell(kMobula + " list jobs --json").out);
  ASSERT_EQ(jobs.size(), 2u);
  EXPECT_NE(jobs[0]["state"], "RUNNING");
  EXPECT_THAT(shell(kMobula + " list nodes").out, HasSubstr("ALIVE"));
  EXPECT_EQ(shell(kMobula + " list actors --json").code, 0);
  EXPECT_EQ(shell(kMobula + " list workers --json").code, 0);
  EXPECT_THAT(shell(kMobula + " logs").out, HasSubstr("a worker was here"));
  const auto stopped = shell(kMobula + " stop " + cluster);
  EXPECT_EQ(stopped.code, 0) << stopped.out;
  EXPECT_NE(shell(kMobula + " status").code, 0);
}

TEST_F(CliTest, a_second_node_joins_and_the_end_of_one_cluster_is_not_the_end_of_another) {
  const std::string first = start_head();
  const std::string second = start_head();
  const auto joined = shell(kMobula + " start --address " + first + " --cpus 1");
  EXPECT_EQ(joined.code, 0) << joined.out;
  EXPECT_EQ(json::parse(shell(kMobula + " list nodes --json --address " + first).out).size(), 2u);
  EXPECT_EQ(json::parse(shell(kMobula + " list nodes --json --address " + second).out).size(), 1u);
  EXPECT_THAT(shell(kMobula + " status").out, HasSubstr("several clusters"));
  EXPECT_EQ(shell(kMobula + " stop " + first).code, 0);
  EXPECT_EQ(shell(kMobula + " submit --address " + second + " -- " + kApp).code, 0);
  EXPECT_EQ(shell(kMobula + " stop").code, 0);
}

TEST_F(CliTest, a_cluster_whose_gcs_is_killed_leaves_its_logs_and_says_so) {
  const std::string cluster = start_head();
  EXPECT_EQ(shell(kMobula + " submit -- " + kApp + " 0").code, 0);
  const auto head = json::parse(shell(kMobula + " start --head --json --cpus 1").out);  // Another goes on.
  const auto other = head["session"].get<std::string>();
  std::string session;
  for (const auto& entry : std::filesystem::directory_iterator(leaks_.directory())) {
    const std::string path = entry.path();
    if (std::filesystem::exists(path + "/cluster.json") && path != other) session = path;
  }
  ASSERT_FALSE(session.empty());
  EXPECT_TRUE(std::filesystem::exists(session + "/key"));
  const auto processes = json::parse(std::ifstream(session + "/cluster.json"))["processes"];
  const os::Fd raylet = os::open_pidfd(processes["n0"].get<pid_t>());
  ::kill(processes["gcs"].get<pid_t>(), SIGKILL);
  pollfd polled{raylet.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&polled, 1, 5000), 1) << "the raylet lives on without its GCS";
  EXPECT_FALSE(std::filesystem::exists(session + "/key"));
  for (const auto& entry : std::filesystem::directory_iterator(session)) {
    EXPECT_THAT(entry.path().filename().string(), ::testing::AnyOf("logs", "cluster.json"));
  }
  EXPECT_EQ(shell(kMobula + " stop " + other.substr(other.rfind('/') + 1)).code, 0);
  EXPECT_THAT(shell(kMobula + " status").out, HasSubstr("ended without being stopped (" + cluster + ")"));
  EXPECT_THAT(shell(kMobula + " logs").out, HasSubstr("a worker was here"));
  EXPECT_THAT(shell(kMobula + " logs --json --address " + cluster).out, HasSubstr("a worker was here"));
  EXPECT_EQ(shell(kMobula + " stop " + cluster).code, 0);
  EXPECT_FALSE(std::filesystem::exists(session));
}

// An embedded program that has started a worker and waits, and what it has written so far.
struct Held {
  pid_t pid = 0;
  int out = -1;
  std::string text;
};

Held hold(std::vector<std::string> command = {kApp, "hold"}) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  Held held;
  held.pid = ::fork();
  if (held.pid == 0) {
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execv(argv[0], argv.data());
    ::_exit(1);
  }
  ::close(ends[1]);
  held.out = ends[0];
  std::array<char, 256> buffer;
  for (ssize_t n = 1; n > 0 && held.text.find("holding") == std::string::npos;) {
    n = ::read(held.out, buffer.data(), buffer.size());
    if (n > 0) held.text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  EXPECT_THAT(held.text, HasSubstr("holding"));
  return held;
}

int wait_for_end(Held& held) {
  int status = 0;
  ::waitpid(held.pid, &status, 0);
  ::close(held.out);
  return status;
}

TEST_F(CliTest, an_embedded_program_that_is_killed_leaves_nothing) {
  Held held = hold();
  ::kill(held.pid, SIGKILL);
  wait_for_end(held);
}

TEST_F(CliTest, the_first_interrupt_drains_an_embedded_program_and_it_ends_by_the_signal) {
  Held held = hold();
  const auto begin = std::chrono::steady_clock::now();
  ::kill(held.pid, SIGINT);
  const int status = wait_for_end(held);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_THAT(leaks_.leftovers(0ms), IsEmpty());
}

TEST_F(CliTest, the_second_interrupt_forces_the_end) {
  Held held = hold();
  ::kill(held.pid, SIGINT);
  ::kill(held.pid, SIGINT);
  const int status = wait_for_end(held);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
}

TEST_F(CliTest, every_setting_says_where_it_comes_from) {
  const std::string file = leaks_.directory() + "/mobula.toml";
  std::ofstream(file) << "node_link = \"sock\"\nworkers_max = 17\n";
  const auto config = shell("MOBULA_CONFIG=" + file + " MOBULA_NODE_LINK=shm " + kMobula + " config --json");
  ASSERT_EQ(config.code, 0) << config.out;
  std::map<std::string, json> rows;
  for (const auto& row : json::parse(config.out)) rows[row["key"]] = row;
  EXPECT_EQ(rows["node_link"]["value"], "shm");
  EXPECT_THAT(rows["node_link"]["source"].get<std::string>(), HasSubstr("MOBULA_NODE_LINK"));
  EXPECT_EQ(rows["workers_max"]["value"], "17");
  EXPECT_THAT(rows["workers_max"]["source"].get<std::string>(), HasSubstr("mobula.toml:2"));
  std::ofstream(file) << "node_lnik = 1\n";
  EXPECT_THAT(shell("MOBULA_CONFIG=" + file + " " + kMobula + " config").out, HasSubstr("node_link"));
  std::filesystem::remove(file);
}

TEST_F(CliTest, doctor_gives_a_verdict_on_each_subject) {
  const auto doctor = shell(kMobula + " doctor --json");
  for (const auto& finding : json::parse(doctor.out)) {
    EXPECT_FALSE(finding["text"].get<std::string>().empty());
    EXPECT_EQ(finding["verdict"] == "OK", finding["remedy"].get<std::string>().empty());
  }
  EXPECT_EQ(doctor.code, 0) << doctor.out;
}

TEST_F(CliTest, a_session_whose_processes_are_gone_is_never_mistaken_for_another_with_their_numbers) {
  const std::string cluster = start_head();
  const std::string file = leaks_.directory() + "/" + cluster + "/cluster.json";
  std::ifstream in(file);
  json session = json::parse(in);
  EXPECT_EQ(shell(kMobula + " stop " + cluster).code, 0);
  // As a session looks that a restart of the machine has left, when its numbers have been given out again.
  const pid_t innocent = ::fork();
  if (innocent == 0) {
    ::setpgid(0, 0);
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    ::_exit(1);
  }
  ::setpgid(innocent, innocent);
  session["processes"]["n0"] = innocent;
  std::filesystem::create_directory(leaks_.directory() + "/" + cluster);
  std::ofstream(file) << session.dump();
  EXPECT_NE(shell(kMobula + " status --address " + cluster).code, 0);
  EXPECT_EQ(shell(kMobula + " stop " + cluster).code, 0);
  EXPECT_EQ(::kill(innocent, 0), 0);
  EXPECT_EQ(::waitpid(innocent, nullptr, WNOHANG), 0);
  ::kill(innocent, SIGKILL);
  ::waitpid(innocent, nullptr, 0);
}

// What `command` prints once that has `words`; the last print when that does not come in time.
std::string shell_until(const std::string& command, const std::string& words) {
  std::string out;
  for (int i = 0; i < 100 && out.find(words) == std::string::npos; ++i) {
    if (i != 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    out = shell(command).out;
  }
  return out;
}

TEST_F(CliTest, why_names_what_is_short_who_holds_it_and_the_nearest_node) {
  const std::string cluster = start_head();
  EXPECT_THAT(shell(kMobula + " why").out, HasSubstr("nothing waits"));
  Held held = hold({kMobula, "submit", "--", kApp, "crowd"});
  const std::string all = shell_until(kMobula + " why", "placement group gang");
  EXPECT_THAT(all, HasSubstr("1 of driver " + std::to_string(held.pid)));
  EXPECT_THAT(all, HasSubstr("task where"));
  EXPECT_THAT(all, HasSubstr("priority 3"));
  EXPECT_THAT(all, HasSubstr("short of: cpus=1 wanted, none free there"));
  EXPECT_THAT(all, HasSubstr("nearest node: n0"));
  EXPECT_THAT(all, HasSubstr("held there: cpus=2 by actor Parrot"));
  EXPECT_THAT(all, HasSubstr("actor Parrot late is PENDING and wants cpus=1"));
  EXPECT_THAT(shell(kMobula + " why polly").out, HasSubstr("actor Parrot polly is ALIVE; it waits for nothing"));
  EXPECT_THAT(shell(kMobula + " why late").out, HasSubstr("cpus=1 wanted"));
  EXPECT_EQ(shell(kMobula + " why nobody").code, 1);
  const auto found = json::parse(shell(kMobula + " why where --json").out);
  ASSERT_EQ(found["tasks"].size(), 1u);
  EXPECT_EQ(found["tasks"][0]["held_by"][0]["resources"]["cpus"], 2);
  EXPECT_TRUE(found["actors"].empty());
  const std::string status = shell_until(kMobula + " status", "for tasks");
  EXPECT_THAT(status, HasSubstr("1 workers with cpus=1 for tasks"));
  EXPECT_THAT(status, HasSubstr("placement group gang: "));
  ::kill(held.pid, SIGKILL);
  (void)wait_for_end(held);
  EXPECT_EQ(shell(kMobula + " stop " + cluster).code, 0);
}

TEST_F(CliTest, what_reports_gives_json_that_parses) {
  const std::string cluster = start_head();
  for (const char* command : {"status", "list nodes", "list workers", "list actors", "list jobs", "why", "logs",
                              "doctor", "config", "version"}) {
    const auto said = shell(kMobula + " " + command + " --json 2>/dev/null");
    EXPECT_FALSE(json::parse(said.out, nullptr, false).is_discarded()) << command << ": " << said.out;
  }
  const auto stopped = shell(kMobula + " stop --json");
  EXPECT_EQ(json::parse(stopped.out).value("stopped", ""), cluster);
}

TEST_F(CliTest, wrong_usage_says_what_is_right) {
  const auto expect = [](const std::string& command, int code, const std::string& words) {
    const auto said = shell(kMobula + " " + command);
    EXPECT_EQ(said.code, code) << command << ": " << said.out;
    EXPECT_THAT(said.out, HasSubstr(words)) << command;
  };
  expect("", 2, "subcommand");
  expect("run", 2, "mobula run -- ./app");
  expect("run ./app", 2, "mobula run -- ./app");
  expect("submit ./app", 2, "mobula submit -- ./app");
  expect("run --nodes 0 -- true", 2, "--nodes");
  expect("run --set nodes -- true", 2, "key=value");
  expect("run --set node_lnik=shm -- true", 2, "node_link");
  expect("run --set node_link=zzz -- true", 2, "node_link = \"zzz\" (--set) is not one of: auto shm sock");
  expect("run --set fold_logs=perhaps -- true", 2, "1 or 0");
  expect("run --set nodes=2.5 -- true", 2, "whole number");
  expect("run --set store_bytes=much -- true", 2, "512M");
  expect("run --set labels=nonsense -- true", 2, "labels (--set): ");
  expect("run --cpus-per-node banana -- true", 2, "cpus_per_node = \"banana\" (--cpus-per-node) is not a number");
  expect("run --set node_link=sock --set fold_logs=no --cpus-per-node 0.5 -- true", 0, "");
  expect("foo", 2, "there is no command \"foo\"");
  expect("statsu --json", 2, "status");
  expect("comp", 2, "completion");
  expect("start", 2, "--head or --address");
  expect("start --head --cpus banana", 1, "banana");
  expect("start --head --labels nonsense", 1, "nonsense");
  expect("start --address no-such-cluster", 1, "no cluster");
  expect("start --address 127.0.0.1:1 --key-file /no/such/key", 1, "/no/such/key");
  expect("stop no-such-cluster", 1, "no-such-cluster");
  expect("status", 1, "mobula start --head");
  expect("list", 2, "what");
  expect("list cats", 2, "workers");
  expect("logs", 1, "mobula start --head");
  expect("new 9lives", 1, "letter first");
  expect("completion tcsh", 2, "bash");
}

TEST_F(CliTest, bash_completes_commands_options_and_what_is_listed) {
  const auto completes = [](const std::string& words, int at) {
    return shell("bash -c 'source <(" + kMobula + " completion bash); COMP_WORDS=(mobula " + words +
                 "); COMP_CWORD=" + std::to_string(at) + "; _mobula; echo ${COMPREPLY[@]}'")
        .out;
  };
  EXPECT_EQ(completes("sta", 1), "start status\n");
  EXPECT_EQ(completes("list w", 2), "workers\n");
  EXPECT_THAT(completes("logs --f", 2), HasSubstr("--follow"));
  EXPECT_THAT(completes("doctor --", 2), HasSubstr("--json"));
}

TEST_F(CliTest, small_commands_do_as_they_say) {
  EXPECT_THAT(shell(kMobula + " version").out, HasSubstr("mobula "));
  EXPECT_EQ(shell(kMobula + " completion bash | bash -n").code, 0);
  EXPECT_THAT(shell(kMobula + " completion fish").out, HasSubstr("submit"));
  EXPECT_EQ(shell(kMobula + " nonsense").code, 2);
  const std::string project = leaks_.directory() + "/solver";
  EXPECT_EQ(shell(kMobula + " new " + project).code, 0);
  for (const char* file : {"CMakeLists.txt", "main.cpp", "job.sbatch"})
    EXPECT_TRUE(std::filesystem::exists(project + "/" + file));
  EXPECT_NE(shell(kMobula + " new " + project).code, 0);
  EXPECT_THAT(shell(kMobula + " submit -- true").out, HasSubstr("mobula start"));
  std::filesystem::remove_all(project);
}

TEST_F(CliTest, topo_draws_this_machine_and_the_nodes_of_a_cluster) {
  const auto here = shell(kMobula + " topo");
  EXPECT_EQ(here.code, 0) << here.out;
  EXPECT_THAT(here.out, HasSubstr("package 0\n"));

  ::setenv("MOBULA_TOPOLOGY", "synthetic:pack:2 [numa(memory=1GB)] l3:2 core:4 pu:2", 1);
  ::setenv("MOBULA_LABELS", "mobula.topology/switch=s7", 1);
  const std::string cluster = start_head();
  ::unsetenv("MOBULA_TOPOLOGY");
  ::unsetenv("MOBULA_LABELS");
  ASSERT_FALSE(cluster.empty());
  const auto all = shell(kMobula + " topo --address " + cluster);
  EXPECT_THAT(all.out, HasSubstr("2 packages, 2 NUMA nodes, 4 L3, 16 cores, 32 PUs"));
  EXPECT_THAT(all.out, HasSubstr("mobula.topology/switch = s7"));
  const json nodes = json::parse(shell(kMobula + " topo --json --address " + cluster).out, nullptr, false);
  ASSERT_EQ(nodes.size(), 1u);
  EXPECT_EQ(nodes[0]["topology"]["levels"]["numa"][1], "16-31");
  const std::string name = nodes[0]["name"];
  EXPECT_EQ(shell(kMobula + " topo --node " + name).code, 0);
  EXPECT_EQ(shell(kMobula + " topo --node nowhere").code, 1);
  EXPECT_EQ(shell(kMobula + " stop").code, 0);
}

}  // namespace
}  // namespace mobula::testing

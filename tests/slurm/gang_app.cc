// gang_app WHAT RANK_PROGRAM [PLACE]: MPI programs inside a Mobula program.  PLACE: a directory that all nodes share.
//   ends    how they end: well, by an exit code, by a signal, by MPI_Abort; and those that cannot be started
//   places  beside actors and on nodes, in a job of three nodes
//   together  more than one at a time, each larger than what is left beside the other, in a job of three nodes of two
//   CPUs stops   cancelled, and killed with the actor that owns it hold    two ranks run; waits to be killed
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <mobula/mobula.h>
#include <mobula/mpi.h>

namespace {

std::string program, place, launcher = "auto";

std::string host() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

void print(const std::string& what, const std::string& output) {
  std::vector<std::string> lines;
  std::istringstream in(output);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  std::cout << what << "\n";
  for (const auto& line : lines) std::cout << "  " << line << "\n";
}

void print_end(const std::string& what, const mobula::MpiGang& gang) {
  try {
    const int code = gang.exit().get();
    std::cout << what << ": " << code << "\n";
  } catch (const mobula::MpiError& error) {
    const auto text = [](std::optional<int> n) { return n ? std::to_string(*n) : std::string("-"); };
    std::cout << what << ": MpiError code " << text(error.exit_code()) << " signal " << text(error.signal()) << " rank "
              << text(error.rank()) << "\n";
    std::cerr << error.report();
  } catch (const mobula::Error& error) {
    std::cout << what << ": " << error.report();
  }
}

mobula::MpiGang hold(int ranks) {
  // Workers have none of Open MPI's variables.
  return mobula::mpi_gang.with({.size = ranks,
                                .cpus = 0,
                                .env = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}},
                                .launcher = launcher})(program, {"hold", place});
}

std::vector<pid_t> ranks_in(const std::string& directory) {
  std::vector<pid_t> out;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    pid_t pid = 0;
    if (entry.path().extension().empty() && std::ifstream(entry.path()) >> pid) out.push_back(pid);
  }
  return out;
}
// Until `ranks` of them run.
std::vector<pid_t> await_ranks(std::size_t ranks) {
  for (;;) {
    auto pids = ranks_in(place);
    if (pids.size() == ranks) return pids;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}
bool is_alive(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t at = text.rfind(") ");
  return at != std::string::npos && text[at + 2] != 'Z';
}
// Ends when they have; all of them are seen from here, since the nodes of the tests share processes.
void await_end(const std::vector<pid_t>& pids) {
  while (std::any_of(pids.begin(), pids.end(), is_alive)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  for (const auto& entry : std::filesystem::directory_iterator(place)) std::filesystem::remove(entry.path());
}

}  // namespace

class Owner {
 public:
  void start(std::string what, std::string where, std::string with) {
    program = std::move(what);
    place = std::move(where);
    launcher = std::move(with);
    gang_ = hold(2);
  }

 private:
  mobula::MpiGang gang_;
};

class Neighbour {
 public:
  std::string where() const { return host(); }
};

namespace {

void ends() {
  const auto with = mobula::mpi_gang.with({.size = 3, .cpus = 0, .launcher = launcher});
  auto hello = with(program, {"hello"});
  print_end("hello", hello);
  print("output", hello.output().get());
  std::cout << "stderr is apart: " << (hello.errors().get().find("rank 2 complains") != std::string::npos) << "\n";
  auto exit = with(program, {"exit"});
  print_end("exit", exit);
  std::cout << "output is kept: " << (exit.output().get().find("rank 1 of 3") != std::string::npos) << "\n";
  print_end("crash", with(program, {"crash"}));
  print_end("abort", with(program, {"abort"}));
  print_end("no program", with("/no/such/program"));
  print_end("no launcher", mobula::mpi_gang.with({.launcher = "no-such-mpirun"})(program));
  try {
    (void)mobula::mpi_gang.with({.size = 0});
  } catch (const mobula::InvalidArgument&) {
    std::cout << "no ranks: InvalidArgument\n";
  }
}

void places() {
  const std::vector<std::string> nodes{"n2", "n1", "n2", "n3"};
  const auto with = mobula::mpi_gang.with({.launcher = launcher});
  auto on_nodes = with.on(nodes)(program, {"hello"});
  print_end("nodes", on_nodes);
  print("output", on_nodes.output().get());
  std::vector<mobula::ActorHandle<Neighbour>> neighbours;
  for (const char* node : {"n3", "n1"}) {
    neighbours.push_back(mobula::actor<Neighbour>.with({.scheduling = mobula::NodeAffinity{.node = node}})());
  }
  auto beside = with.on(neighbours)(program, {"hello"});
  print_end("beside actors", beside);
  print("output", beside.output().get());
  auto group = mobula::group<Neighbour>.with({.size = 2})();
  print_end("beside a group", with.on(group)(program, {"hello"}));
}

// Two programs of which each would take a part of what the other needs, if it could: on three nodes of two CPUs of
// which one is busy, the first wants three times two, the second three times one.  It is about CPUs: no rank
// speaks MPI.
void together(const std::string& how, const std::vector<std::string>& nodes) {
  const auto start = [&](double cpus) {
    const auto with = mobula::mpi_gang.with({.size = 3, .cpus = cpus, .launcher = launcher});
    return nodes.empty() ? with("/bin/true") : with.on(nodes)("/bin/true");
  };
  auto busy = mobula::actor<Neighbour>.with({.cpus = 1, .scheduling = mobula::NodeAffinity{.node = "n1"}})();
  mobula::method<&Neighbour::where>(busy).get();
  const auto large = start(2);
  const auto small = start(1);
  const auto never = start(2);
  never.cancel();
  mobula::kill(busy);
  print_end(how + ", small", small);
  print_end(how + ", large", large);
  print_end(how + ", cancelled while it waited, the next", (void(never.exit().try_get()), start(2)));
}

void stops() {
  auto gang = hold(2);
  auto pids = await_ranks(2);
  gang.cancel();
  for (const auto& ref : {gang.output(), gang.errors()}) {
    std::cout << "cancelled: " << (ref.try_get().error().kind() == mobula::ErrorKind::kCancelled) << "\n";
  }
  std::cout << "cancelled: " << (gang.exit().try_get().error().kind() == mobula::ErrorKind::kCancelled) << "\n";
  await_end(pids);
  std::cout << "its ranks have ended\n";

  auto owner = mobula::actor<Owner>();
  mobula::method<&Owner::start>(owner, program, place, launcher).get();
  pids = await_ranks(2);
  mobula::kill(owner);
  await_end(pids);
  std::cout << "those of a dead owner too\n";
}

}  // namespace

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  const std::string what = argc > 1 ? argv[1] : "";
  program = argc > 2 ? argv[2] : "";
  place = argc > 3 ? argv[3] : "";
  if (argc > 4) launcher = argv[4];
  if (what == "ends") ends();
  if (what == "places") places();
  if (what == "stops") stops();
  if (what == "together") {
    together("by size", {});
    together("by nodes", {"n3", "n2", "n1"});
    together("by nodes in the other order", {"n1", "n3", "n2"});
  }
  if (what == "hold") {
    const auto gang = hold(2);
    std::cout << "holding" << std::flush;
    for (const pid_t pid : await_ranks(2)) std::cout << " " << pid;
    std::cout << std::endl;
    for (;;) ::pause();
  }
}

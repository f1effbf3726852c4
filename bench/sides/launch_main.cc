// bench_launch srun|mpirun PROGRAM: how long launchers take from their exec to the first line of PROGRAM, and from its
// last line to their own end.  For srun: inside tests/slurm/with-slurm.sh 8.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

struct Run {
  double first_line_ms = 0;
  double end_ms = 0;  // From the last line.
  std::string last_line;
};

// stdout is a pipe, as it is for launchers in scripts.
Run run(const std::vector<std::string>& command) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw CannotMeasure("no pipe");
  const auto start = Clock::now();
  const pid_t child = ::fork();  // This process is small.
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    std::vector<char*> argv;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  Run out;
  auto last = start;
  std::string line;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[static_cast<std::size_t>(i)] != '\n') {
        line += buffer[static_cast<std::size_t>(i)];
        continue;
      }
      last = Clock::now();
      if (out.first_line_ms == 0) out.first_line_ms = seconds_since(start) * 1e3;
      out.last_line = std::move(line);
      line.clear();
    }
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  out.end_ms = seconds_since(last) * 1e3;
  if (status != 0 || out.first_line_ms == 0) {
    throw CannotMeasure(command.front() + " ended with status " + std::to_string(status) + " after \"" + out.last_line +
                        "\"");
  }
  return out;
}

std::vector<std::string> srun(int nodes, int tasks, const std::string& program) {
  return {"srun", "-Q", "-N" + std::to_string(nodes), "-n" + std::to_string(tasks), program};
}

template <class Value>
double median_of(int count, const std::vector<std::string>& command, Value value) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(value(run(command)));
  return median(std::move(values));
}
double first_line(const Run& r) { return r.first_line_ms; }
double end(const Run& r) { return r.end_ms; }
double gcs_cpu_ms(const Run& r) {
  constexpr std::string_view kName = "gcs_cpu_us ";
  if (r.last_line.rfind(kName, 0) != 0) throw CannotMeasure("no figure of the GCS");
  return std::strtod(r.last_line.c_str() + kName.size(), nullptr) / 1e3;
}

void add_srun(Side& side, const std::string& program) {
  const auto add = [&side, program](const std::string& metric, int nodes, int tasks) {
    side.add(metric, [=](Effort e) { return median_of(e.of(5), srun(nodes, tasks, program), first_line); });
  };
  for (const int nodes : {2, 4, 8}) add("srun_first_task_" + std::to_string(nodes) + "_nodes_ms", nodes, nodes);
  for (const int tasks : {16, 64}) add("srun_first_task_" + std::to_string(tasks) + "_processes_ms", 8, tasks);
  side.add("shutdown_4_nodes_ms", [program](Effort e) { return median_of(e.of(5), srun(4, 4, program), end); });
  // What each further node costs: the GCS's own start is in both.
  side.add("join_cpu_ms_per_node", [program](Effort e) {
    const double few = median_of(e.of(5), srun(2, 2, program), gcs_cpu_ms);
    const double many = median_of(e.of(5), srun(8, 8, program), gcs_cpu_ms);
    return std::max(0.001, (many - few) / 6);
  });
}

void add_mpirun(Side& side, const std::string& program) {
  const std::vector<std::string> command{"mpirun", "--oversubscribe", "--bind-to", "none", "-np", "4", program};
  side.add("mpirun_first_task_ms", [command](Effort e) { return median_of(e.of(5), command, first_line); });
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  using namespace mobula::bench;
  const std::string launcher = argc == 3 ? argv[1] : "";
  if (launcher != "srun" && launcher != "mpirun") {
    std::fprintf(stderr, "usage: bench_launch srun|mpirun PROGRAM\n");
    return 2;
  }
  Side side;
  if (launcher == "srun") {
    add_srun(side, argv[2]);
  } else {
    add_mpirun(side, argv[2]);
  }
  side.serve();
  return 0;
}

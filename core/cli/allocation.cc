#include "core/cli/allocation.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/launched.h"
#include "core/cluster/settings_load.h"
#include "core/os/event_loop.h"
#include "core/os/memory_file.h"
#include "core/os/process.h"
#include "core/os/process_identity.h"
#include "slurm/environment.h"
#include "slurm/host_list.h"
#include "slurm/identity.h"

namespace mobula::cli {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr const char* kReady = "cluster ";  // Begins the line of the first node.
constexpr auto kMargin = std::chrono::seconds(10);
constexpr std::size_t kSaidBytesMax = 16u << 20;  // Of a step's life; no page is taken before it is written.
constexpr auto kPoll = std::chrono::milliseconds(20);

slurm::Environment environment() { return slurm::to_environment(os::environment()); }

Result<std::vector<std::string>> hosts_of_allocation() {
  return slurm::parse_host_list(slurm::value_of(environment(), "SLURM_JOB_NODELIST"));
}

// What has been written into it so far: the rest is zeros.
std::string text_of(const os::Fd& file) {
  std::string out;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t n = ::pread(file.get(), part.data(), part.size(), static_cast<off_t>(out.size()));
    if (n <= 0) return out;
    const auto end = std::find(part.begin(), part.begin() + n, '\0');
    out.append(part.begin(), end);
    if (end != part.begin() + n) return out;
  }
}

// The name of the cluster, once the first node has said it; whatever else was said goes into the error.
Result<std::string> wait_ready(const os::Fd& said, pid_t srun, base::Time until) {
  const os::Fd pidfd = os::open_pidfd(srun);
  for (;;) {
    pollfd polled{pidfd.get(), POLLIN, 0};
    const bool ended = ::poll(&polled, 1, static_cast<int>(kPoll.count())) > 0;
    const std::string text = text_of(said);
    const std::size_t line = text.rfind(kReady, 0) == 0 ? 0 : text.find(std::string("\n") + kReady);
    const std::size_t end = line == std::string::npos ? line : text.find('\n', line + 1);
    if (end != std::string::npos) {
      const std::size_t name = text.find(kReady, line) + std::string_view(kReady).size();
      return text.substr(name, end - name);
    }
    if (ended) return Error{Code::kUnavailable, "the step that makes the cluster has ended: " + text};
    if (os::now() >= until) return Error{Code::kDeadline, "the nodes did not come together in time: " + text};
  }
}

// So that commands on this host find the cluster.
Result<SessionFile> write_session(cluster::LaunchedCluster& cluster, const base::Settings& settings) {
  SessionFile file;
  file.directory = cluster.seat().session_directory;
  file.cluster = file.directory.substr(file.directory.rfind('/') + 1);
  file.gcs_address = "unix:" + file.directory + "/gcs.sock";
  file.raylet_address = cluster.seat().raylet_address;
  file.settings = {{"node_link", settings.text("node_link")}, {"interface", cluster.seat().interface}};
  for (const auto& child : cluster.children()) {
    file.processes[child.name] = child.pid;
    file.identities[child.name] = os::process_identity(child.pid);
  }
  if (const auto kept = cluster.secret().write_file(file.key_path()); !kept) return kept.error();
  if (const auto written = write_session_file(file); !written) return written.error();
  return file;
}

bool runs_a_job(const SessionFile& session) {
  const auto link = ToolLink::open(session);
  const auto jobs = link ? (*link)->list("jobs") : Result<std::string>(link.error());
  const auto rows = nlohmann::json::parse(jobs ? *jobs : std::string(), nullptr, false);
  return rows.is_array() &&
         std::any_of(rows.begin(), rows.end(), [](const auto& row) { return row.value("state", "") == "RUNNING"; });
}

}  // namespace

bool is_allocation_shell() {
  const auto variables = environment();
  if (slurm::value_of(variables, "SLURM_JOB_ID").empty()) return false;
  const auto self = slurm::identify(variables);
  return self && !self->is_launched();
}

int start_in_allocation(Format format) {
  const auto hosts = hosts_of_allocation();
  if (!hosts) return complain("SLURM_JOB_NODELIST: " + hosts.error().what);
  const auto settings = cluster::load_settings();
  if (!settings) return complain(settings.error().what);
  const auto patience = settings->number("start_timeout");
  if (!patience) return complain(patience.error().what);
  // What the step says goes where a reader is not needed and nothing stays.
  auto said = os::make_memory_file("mobula-start", kSaidBytesMax);
  const os::Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!said) return complain(said.error().what);
  const std::string count = std::to_string(hosts->size());
  os::SpawnOptions spawn;
  spawn.path = "/usr/bin/env";
  spawn.argv = {"env",
                "srun",
                "--quiet",
                "--overlap",
                "--no-kill",
                "--kill-on-bad-exit=0",
                "--wait=0",
                "--nodes=" + count,
                "--ntasks=" + count,
                "--ntasks-per-node=1",
                "--job-name=mobula",
                os::self_exe(),
                "node"};
  spawn.env = os::environment();
  spawn.fds = {{null.get(), 0}, {said->get(), 1}, {said->get(), 2}};
  spawn.die_with_parent = false;
  const auto srun = os::spawn(spawn);
  if (!srun) return complain(srun.error().what);
  const auto time = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(*patience));
  const auto ready = wait_ready(*said, *srun, os::now() + time + kMargin);
  if (!ready) {
    ::kill(*srun, SIGTERM);  // Makes Slurm end the step.
    os::wait_for(*srun);
    return complain(ready.error().what);
  }
  if (format == Format::kJson) {
    const nlohmann::json out = {{"cluster", *ready}, {"nodes", hosts->size()}, {"head", hosts->front()}};
    std::printf("%s\n", out.dump().c_str());
    return 0;
  }
  std::printf("cluster %s runs on the %s nodes of this allocation\n", ready->c_str(), count.c_str());
  std::printf("  mobula submit -- ./app          runs a program on it\n  mobula status                   shows it\n");
  std::printf("  mobula stop                     ends it; so does the allocation's end\n");
  return 0;
}

int allocation_node() {
  auto self = slurm::identify(environment());
  if (!self) return complain(self.error().what);
  if (!self->is_launched()) return complain("node is what `mobula start` runs on each node of an allocation");
  const auto settings = cluster::load_settings();
  if (!settings) return complain(settings.error().what);
  const bool first = self->rank == 0;
  auto cluster = cluster::LaunchedCluster::start(
      {.identity = std::move(*self), .slurm_conf = std::string(slurm::value_of(environment(), "SLURM_CONF"))},
      *settings);
  if (!cluster) return complain(cluster.error().what);
  if (!first) return (*cluster)->serve();
  const auto session = write_session(**cluster, *settings);
  if (!session) return complain(session.error().what);
  std::printf("%s%s\n", kReady, session->cluster.c_str());
  std::fflush(stdout);
  // Told to end, it leaves the programs on it the time to do so in order.
  return (*cluster)->serve([&session] { return !runs_a_job(*session); });
}

void go_to_allocation(const std::vector<std::string>& arguments) {
  if (!is_allocation_shell()) return;
  const auto sessions = sessions_of_host();
  if (std::any_of(sessions.begin(), sessions.end(), [](const auto& session) { return session.is_alive(); })) return;
  const auto hosts = hosts_of_allocation();
  if (!hosts || hosts->empty()) return;
  const std::string program = os::self_exe();
  const std::string where = "--nodelist=" + hosts->front();
  std::vector<const char*> argv{"srun",       "--quiet",     "--overlap",    "--nodes=1",
                                "--ntasks=1", where.c_str(), program.c_str()};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  ::execvp(argv[0], const_cast<char* const*>(argv.data()));  // Does not write.
}

}  // namespace mobula::cli

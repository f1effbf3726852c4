// start and stop: clusters that outlive their programs.
#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/embedded.h"
#include "core/cluster/launch.h"
#include "core/cluster/settings_load.h"
#include "core/os/event_loop.h"
#include "core/os/process.h"
#include "core/os/process_identity.h"
#include "core/os/random.h"
#include "core/os/route.h"
#include "core/os/secret.h"
#include "core/os/session.h"

namespace mobula::cli {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr auto kStartTime = std::chrono::seconds(20);
constexpr auto kStopTime = std::chrono::seconds(10);

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Of a head, its own; of a node that joins, what it was told.
struct Membership {
  os::Secret secret;
  std::string gcs_address;
  std::string cluster;
};

// Of "tcp:HOST:PORT" or "HOST:PORT"; empty where there is no way.
std::string address_towards_head(std::string address) {
  if (address.rfind("tcp:", 0) == 0) address.erase(0, 4);
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto addresses = os::resolve_host(host);
  return addresses.empty() ? std::string() : os::address_towards(addresses.front());
}

Result<Membership> joined(const StartOptions& options) {
  if (!options.key_file.empty()) {
    auto secret = os::Secret::read_file(options.key_file);
    if (!secret) return secret.error();
    const std::string address = options.address.rfind("tcp:", 0) == 0 ? options.address : "tcp:" + options.address;
    return Membership{std::move(*secret), address, options.address};
  }
  const auto session = find_session(options.address);
  if (!session) {
    return Error{session.error().code,
                 session.error().what +
                     "; for a cluster of another host give --key-file, a copy of its key (its session "
                     "directory has it)"};
  }
  auto secret = os::Secret::read_file(session->key_path());
  if (!secret) return secret.error();
  return Membership{std::move(*secret), session->gcs_address, session->cluster};
}

Result<base::Settings> settings_of(const StartOptions& options) {
  auto settings = cluster::load_settings();
  if (!settings) return settings.error();
  const auto apply = [&settings](const char* key, const std::string& value) {
    if (!value.empty()) (void)settings->set(key, value, base::SettingSource::kCommandLine, "command line");
  };
  apply("cpus_per_node", options.cpus);
  apply("gpus_per_node", options.gpus);
  apply("labels", options.labels);
  apply("interface", options.interface);
  if (!options.memory.empty()) {
    base::Settings memory;
    (void)memory.set("store_bytes", options.memory, base::SettingSource::kCommandLine, "--memory");
    const auto bytes = memory.bytes("store_bytes");
    if (!bytes) return bytes.error();
    apply("resources", "memory=" + std::to_string(*bytes));
  }
  return settings;
}

Result<cluster::RayletOptions> raylet_of(const base::Settings& settings) {
  auto raylet = cluster::raylet_options(settings);
  if (raylet && raylet->store_bytes == 0) raylet->store_bytes = cluster::store_share(1);
  return raylet;
}

int report(const SessionFile& session, bool head, Format format) {
  if (format == Format::kJson) {
    const nlohmann::json out = {{"cluster", session.cluster},       {"session", session.directory},
                                {"raylet", session.raylet_address}, {"address", session.gcs_tcp_address},
                                {"key_file", session.key_path()},   {"processes", session.processes}};
    std::printf("%s\n", out.dump().c_str());
    return 0;
  }
  std::printf("cluster %s runs; session %s\n", session.cluster.c_str(), session.directory.c_str());
  std::printf("  mobula submit -- ./app          runs a program on it\n  mobula status                   shows it\n");
  if (head && !session.gcs_tcp_address.empty()) {
    std::printf("  mobula start --address %s --key-file COPY_OF_%s   adds a node on another host\n",
                session.gcs_tcp_address.c_str(), session.key_path().c_str());
  }
  std::printf("  mobula stop %s    ends it\n", session.cluster.c_str());
  return 0;
}

// The cluster's name, as its GCS knows it.
Result<std::string> ask_name(const SessionFile& file) {
  const base::Time until = os::now() + kStartTime;
  for (;;) {
    const auto link = ToolLink::open(file);
    const auto status = link ? (*link)->list("status") : Result<std::string>(link.error());
    const auto said = nlohmann::json::parse(status ? *status : std::string(), nullptr, false);
    if (said.is_object() && said.contains("cluster")) return said.value("cluster", "");
    if (os::now() >= until) return status ? Error{Code::kInvalid, "its answer has no name"} : status.error();
  }
}

bool wait_gone(const SessionFile& session, base::Duration patience) {
  const base::Time until = os::now() + patience;
  for (const auto& [name, pid] : session.processes) {
    const os::Fd pidfd = os::open_pidfd(pid);
    if (!pidfd.valid() || !session.runs(name)) continue;
    pollfd polled{pidfd.get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - os::now());
    if (::poll(&polled, 1, static_cast<int>(std::max<std::int64_t>(0, left.count()))) <= 0) return false;
  }
  return true;
}

}  // namespace

int start(const StartOptions& options) {
  if (options.head == !options.address.empty()) return complain("say either --head or --address"), 2;
  const auto settings = settings_of(options);
  if (!settings) return complain(settings.error().what);
  auto raylet = raylet_of(*settings);
  if (!raylet) return complain(raylet.error().what);
  // Of another host: others reach this one by the address by which it reaches the head, unless told otherwise.
  if (!options.key_file.empty() && raylet->tcp_interface.empty()) {
    raylet->tcp_interface = address_towards_head(options.address);
    raylet->settings["interface"] = raylet->tcp_interface;
  }
  auto session = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kKeep);
  if (!session) return complain(session.error().what);
  SessionFile file;
  file.directory = session->path();
  const auto give_up = [&file](const std::string& why) {
    os::remove_tree(file.directory);
    return complain(why);
  };
  auto member = options.head ? Result<Membership>(Membership{os::Secret::generate(), "", base_name(session->path())})
                             : joined(options);
  if (!member) return give_up(member.error().what);
  const auto kept = member->secret.write_file(file.key_path());
  if (!kept) return give_up(kept.error().what);

  auto launch = cluster::Launch::prepare(
      {.session_directory = file.directory, .owner = cluster::Launch::Owner::kNobody}, member->secret);
  if (!launch) return give_up(launch.error().what);
  const auto undo = [&](const std::string& why) {
    cluster::end_children(launch->children(), std::chrono::seconds(5));
    return give_up(why);
  };
  if (options.head) {
    auto gcs_options = cluster::gcs_options(*settings);
    if (!gcs_options) return undo(gcs_options.error().what);
    cluster::GcsOptions gcs = std::move(*gcs_options);
    gcs.cluster_name = member->cluster;
    gcs.tcp_interface = raylet->tcp_interface;
    if (const auto started = launch->start_gcs(gcs); !started) return undo(started.error().what);
    member->gcs_address = "unix:" + file.directory + "/gcs.sock";
  }
  raylet->cluster_name = member->cluster;
  raylet->gcs_address = member->gcs_address;
  raylet->name = options.head ? "n0" : "n" + os::random_id<base::NodeId>().short_hex().substr(0, 6);
  const std::string name = raylet->name;
  for (const char* key : {"node_link", "interface"}) file.settings[key] = raylet->settings[key];
  if (const auto started = launch->start_raylet(std::move(*raylet)); !started) return undo(started.error().what);
  auto ready = launch->wait(kStartTime);
  if (!ready) return undo(ready.error().what);
  file.cluster = member->cluster;
  file.gcs_address = member->gcs_address;
  file.gcs_tcp_address = ready->gcs_tcp_address;
  file.raylet_address = ready->raylets[name];
  for (const auto& child : launch->children()) {
    file.processes[child.name] = child.pid;
    file.identities[child.name] = os::process_identity(child.pid);
  }
  if (!options.key_file.empty()) {  // So far it is known by its address alone; two names would make two clusters of it.
    const auto name_of_head = ask_name(file);
    if (!name_of_head) return undo("the cluster has not said its name: " + name_of_head.error().what);
    file.cluster = *name_of_head;
  }
  const auto written = write_session_file(file);
  if (!written) return undo(written.error().what);
  return report(file, options.head, options.format);
}

// Ends every process of this one cluster on this host; other hosts' nodes end when its GCS does.
int stop(const std::string& which, Format format) {
  std::string name = which;
  const auto sessions = sessions_of_host();  // Before: that of a launcher's step goes with its processes.
  if (const auto running = find_session(which)) {
    name = running->cluster;
    const auto link = ToolLink::open(*running);
    if (link) (void)(*link)->stop_cluster();
  } else if (const auto ended = find_ended_session(which)) {
    name = ended->cluster;
  } else if (which.empty()) {
    return complain(running.error().what);
  }
  std::size_t stopped = 0;
  for (const auto& session : sessions) {
    if (session.cluster != name) continue;
    if (!wait_gone(session, kStopTime)) {
      for (const auto& [process, pid] : session.processes) {
        if (session.runs(process)) ::kill(-pid, SIGKILL);
      }
      (void)wait_gone(session, kStopTime);
    }
    os::remove_tree(session.directory);
    ++stopped;
  }
  if (stopped == 0) return complain("no cluster here is called \"" + which + "\"");
  if (format == Format::kJson) {
    std::printf("%s\n", nlohmann::json({{"stopped", name}, {"nodes", stopped}}).dump().c_str());
  } else {
    std::printf("cluster %s has ended\n", name.c_str());
  }
  return 0;
}

}  // namespace mobula::cli

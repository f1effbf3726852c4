#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mobula::cli {

// The commands of `mobula`.  Each returns the exit code: 0 done, 1 it failed and stderr says why, 2 wrong usage.

enum class Format { kText, kJson };

struct RunOptions {
  unsigned nodes = 0;  // 0: as the settings say.
  std::string cpus_per_node;
  std::string hosts;                  // Empty: here.
  unsigned min_nodes = 0;             // Of a launcher's; 0: as the settings say.
  std::vector<std::string> settings;  // key=value
  std::vector<std::string> command;
};
int run(const RunOptions& options);  // Becomes the program; returns only when that fails.

// On each of these hosts (a file with one a line, or a list as Slurm writes it) one task by ssh, or by the program that
// MOBULA_RSH names; the exit code is that of rank 0.
int run_on_hosts(const std::string& hosts, const std::vector<std::string>& command);
int remote_task();  // What that starts there.

struct StartOptions {
  bool head = false;
  std::string address;  // Of the GCS to join: tcp:HOST:PORT, or a cluster of this host.
  std::string key_file;
  std::string interface;
  std::string cpus, gpus, memory;
  std::string labels;
  Format format = Format::kText;
};
int start(const StartOptions& options);
int stop(const std::string& cluster, Format format);
// Removes what clusters have left on this host whose processes were all killed at once: this user's, or as root that
// user's, as a batch system's epilog does.
int sweep(std::optional<std::uint32_t> uid);
struct SubmitOptions {
  std::string cluster;
  std::vector<std::string> command;
};
int submit(const SubmitOptions& options);  // Becomes the program.

int status(const std::string& cluster, Format format);
enum class Columns { kUsual, kTopology };
int list(const std::string& what, const std::string& cluster, Format format, Columns columns);
// Why work waits.  `what`: part of a function's name, an actor's or placement group's id, name or class; empty: all.
int why(const std::string& what, const std::string& cluster, Format format);
struct LogsOptions {
  std::string cluster;
  std::string worker;  // Part of a file's name, a pid, or the name of an actor; empty: all.
  std::string node;    // Its name, host or id.
  std::string actor;   // Its id, name or class.
  std::string job;     // Its id.
  Format format = Format::kText;
  bool follow = false;
  unsigned tail = 0;  // 0: all lines.
};
int logs(const LogsOptions& options);
struct TopoOptions {
  std::string cluster;
  std::string node;  // Its name, host, or the beginning of its id; neither this nor a cluster: this machine.
  Format format = Format::kText;
};
int topo(const TopoOptions& options);
// `topic`: empty, or "collectives" for the table of algorithms.
int config(const std::string& topic, Format format);
int doctor(Format format);
int doctor_all_nodes(Format format);  // Of the Slurm allocation that this runs in.
int doctor_facts();                   // What one of them asks each node for: one line of JSON.
int new_project(const std::string& name);

// Prints "mobula: TEXT" on stderr and returns 1.
int complain(const std::string& text);

}  // namespace mobula::cli

// run and submit: commands that set the scene and become the program.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/settings.h"
#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cluster/environment.h"

namespace mobula::cli {
namespace {

std::string variable_of(const std::string& key) {
  std::string out = "MOBULA_";
  for (const char c : key) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// The program takes our place, so that its exit code, its terminal and Ctrl-C are its own.
int become(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  std::fprintf(stderr, "mobula: cannot run %s: %s\n", argv[0], std::strerror(errno));
  return errno == ENOENT ? 127 : 126;
}

}  // namespace

int complain(const std::string& text) {
  std::fprintf(stderr, "mobula: %s\n", text.c_str());
  return 1;
}

int run(const RunOptions& options) {
  base::Settings check;
  if (options.nodes != 0) ::setenv("MOBULA_NODES", std::to_string(options.nodes).c_str(), 1);
  if (options.min_nodes != 0) ::setenv("MOBULA_MIN_NODES", std::to_string(options.min_nodes).c_str(), 1);
  if (!options.cpus_per_node.empty()) ::setenv("MOBULA_CPUS_PER_NODE", options.cpus_per_node.c_str(), 1);
  for (const auto& setting : options.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) return complain("--set takes key=value, not \"" + setting + "\"");
    const std::string key = setting.substr(0, equals);
    const auto known = check.set(key, setting.substr(equals + 1), base::SettingSource::kCommandLine, "--set");
    if (!known) return complain(known.error().what);
    ::setenv(variable_of(key).c_str(), setting.c_str() + equals + 1, 1);
  }
  if (!options.hosts.empty()) return run_on_hosts(options.hosts, options.command);
  return become(options.command);
}

int submit(const SubmitOptions& options) {
  const auto session = find_session(options.cluster);
  if (!session) return complain(session.error().what);
  ::setenv(cluster::kEnvRaylet, session->raylet_address.c_str(), 1);
  ::setenv(cluster::kEnvSession, session->directory.c_str(), 1);
  ::setenv(cluster::kEnvKeyFile, session->key_path().c_str(), 1);
  // As its workers are told, unless the user says otherwise: a driver must be reachable from where they are.
  for (const auto& [key, value] : session->settings) {
    if (!value.empty()) ::setenv(variable_of(key).c_str(), value.c_str(), 0);
  }
  return become(options.command);
}

}  // namespace mobula::cli

// run and submit: commands that set the scene and become the program.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/base/settings.h"
#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cluster/environment.h"
#include "core/cluster/settings_load.h"

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
  base::Settings asked;
  const auto ask = [&asked](const std::string& key, const std::string& value, const char* option) {
    const auto known = asked.set(key, value, base::SettingSource::kCommandLine, option);
    if (known) ::setenv(variable_of(key).c_str(), value.c_str(), 1);
    return known;
  };
  if (options.nodes != 0) (void)ask("nodes", std::to_string(options.nodes), "--nodes");
  if (options.min_nodes != 0) (void)ask("min_nodes", std::to_string(options.min_nodes), "--min-nodes");
  if (!options.cpus_per_node.empty()) (void)ask("cpus_per_node", options.cpus_per_node, "--cpus-per-node");
  for (const auto& setting : options.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) return complain("--set takes key=value, not \"" + setting + "\""), 2;
    const auto known = ask(setting.substr(0, equals), setting.substr(equals + 1), "--set");
    if (!known) return complain(known.error().what), 2;
  }
  // The program would refuse them too, but as an exception that it may not catch.
  if (const auto all = cluster::load_settings(std::move(asked)); !all) return complain(all.error().what), 2;
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

#include "core/cli/session_file.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/os/process.h"
#include "core/os/process_identity.h"
#include "core/os/session.h"

namespace mobula::cli {
namespace {

using base::Code;
using base::Error;
using base::Result;
using nlohmann::json;

std::string path_in(const std::string& directory) { return directory + "/" + os::kSessionDescription; }

}  // namespace

bool SessionFile::is_alive() const {
  for (const auto& [name, pid] : processes) {
    if (name != "gcs" && runs(name)) return true;
  }
  return false;
}

bool SessionFile::runs(const std::string& process) const {
  const auto pid = processes.find(process);
  const auto identity = identities.find(process);
  if (pid == processes.end() || pid->second <= 0 || !os::process_exists(pid->second)) return false;
  return identity != identities.end() && os::process_identity(pid->second) == identity->second;
}

Result<void> write_session_file(const SessionFile& session) {
  const json out = {{"cluster", session.cluster},         {"gcs", session.gcs_address},
                    {"gcs_tcp", session.gcs_tcp_address}, {"raylet", session.raylet_address},
                    {"processes", session.processes},     {"settings", session.settings},
                    {"identities", session.identities}};
  // Written aside and renamed: readers see all of it or nothing.
  const std::string aside = path_in(session.directory) + ".new";
  std::ofstream file(aside);
  file << out.dump(2) << "\n";
  file.close();
  std::error_code error;
  std::filesystem::rename(aside, path_in(session.directory), error);
  if (!file || error) return Error{Code::kUnavailable, "cannot write " + path_in(session.directory)};
  return {};
}

std::optional<SessionFile> read_session_file(const std::string& directory) {
  std::ifstream file(path_in(directory));
  const json in = json::parse(file, nullptr, false);
  if (!in.is_object()) return std::nullopt;
  SessionFile out;
  out.directory = directory;
  out.cluster = in.value("cluster", "");
  out.gcs_address = in.value("gcs", "");
  out.gcs_tcp_address = in.value("gcs_tcp", "");
  out.raylet_address = in.value("raylet", "");
  if (const auto processes = in.find("processes"); processes != in.end() && processes->is_object()) {
    for (const auto& [name, pid] : processes->items()) {
      if (pid.is_number_integer()) out.processes[name] = pid.get<pid_t>();
    }
  }
  const auto take = [&in](const char* name, std::map<std::string, std::string>& into) {
    const auto found = in.find(name);
    if (found == in.end() || !found->is_object()) return;
    for (const auto& [key, value] : found->items()) {
      if (value.is_string()) into[key] = value.get<std::string>();
    }
  };
  take("identities", out.identities);
  take("settings", out.settings);
  return out;
}

std::vector<SessionFile> sessions_of_host() {
  std::vector<SessionFile> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(os::sessions_root(), error)) {
    if (auto session = read_session_file(entry.path())) out.push_back(std::move(*session));
  }
  return out;
}

std::optional<SessionFile> find_ended_session(const std::string& which) {
  std::optional<SessionFile> found;
  for (auto& session : sessions_of_host()) {
    if (session.is_alive() || (!which.empty() && which != session.cluster && which != session.directory)) continue;
    if (found && found->cluster != session.cluster) return std::nullopt;  // Which of them is not said.
    if (!found) found = std::move(session);
  }
  return found;
}

Result<SessionFile> find_session(const std::string& which) {
  std::vector<SessionFile> alive;
  std::string names;
  std::string ended;
  for (auto& session : sessions_of_host()) {
    if (!session.is_alive()) {
      if (ended.find(session.cluster) == std::string::npos) ended += (ended.empty() ? "" : ", ") + session.cluster;
      continue;
    }
    const bool named = which == session.cluster || which == session.directory ||
                       (!which.empty() && which == session.gcs_tcp_address) ||
                       (!which.empty() && "tcp:" + which == session.gcs_tcp_address);
    names += (names.empty() ? "" : ", ") + session.cluster;
    if (which.empty() || named) alive.push_back(std::move(session));
  }
  // A head and nodes that joined it on the same host are one cluster.
  const bool one = !alive.empty() && std::all_of(alive.begin(), alive.end(),
                                                 [&](const auto& s) { return s.cluster == alive[0].cluster; });
  if (one) return alive.front();
  if (names.empty() && !ended.empty()) {
    return Error{Code::kNotFound, "no cluster of yours runs on this host; of one that ended without being stopped (" +
                                      ended + ") `mobula logs --address NAME` shows why and `mobula stop NAME` " +
                                      "removes the logs"};
  }
  if (names.empty())
    return Error{Code::kNotFound, "no cluster of yours runs on this host; `mobula start --head` starts one"};
  if (which.empty()) return Error{Code::kNotFound, "several clusters run here; say which: " + names};
  return Error{Code::kNotFound, "no cluster here is called \"" + which + "\"; there are: " + names};
}

}  // namespace mobula::cli

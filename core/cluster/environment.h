#pragma once

#include <string>
#include <string_view>

namespace mobula::cluster {

// What a process of the cluster is told in its environment.  The names of settings (core/base/settings.h) are apart:
// users set those, nobody sets these but the process that starts another.
inline constexpr const char* kEnvRole = "MOBULA_ROLE";           // gcs, raylet, zygote, worker; absent: the user's.
inline constexpr const char* kEnvSession = "MOBULA_SESSION";     // The session directory.
inline constexpr const char* kEnvSecretFd = "MOBULA_SECRET_FD";  // Where os::Secret is read from, once.
inline constexpr const char* kEnvRoleOptions = "MOBULA_ROLE_OPTIONS";  // Of gcs and raylet: "key=value" lines.
inline constexpr const char* kEnvZygoteFd = "MOBULA_ZYGOTE_FD";        // The zygote's end of its raylet's socket.
inline constexpr const char* kEnvRaylet = "MOBULA_RAYLET";             // Channel address of the node's raylet.
inline constexpr const char* kEnvWorkerId = "MOBULA_WORKER_ID";        // 56 hex digits.
inline constexpr const char* kEnvJobId = "MOBULA_JOB_ID";
inline constexpr const char* kEnvStartToken = "MOBULA_START_TOKEN";
// A driver that joins a cluster which runs already: its raylet's address, and where the key is.
inline constexpr const char* kEnvKeyFile = "MOBULA_KEY_FILE";

// Where state is saved: core/worker/saved_state.h.  From a driver to the workers of its job.
inline constexpr const char* kEnvSavedState = "MOBULA_SAVED_STATE";

// "NAME=value", as environments hold it.
inline std::string assignment(std::string_view name, std::string_view value) {
  std::string out;
  out.reserve(name.size() + 1 + value.size());
  out.append(name).append(1, '=').append(value);
  return out;
}

}  // namespace mobula::cluster

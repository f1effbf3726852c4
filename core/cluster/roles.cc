#include "core/cluster/roles.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/cluster/environment.h"
#include "core/cluster/role_options.h"
#include "core/gcs/gcs.h"
#include "core/os/fd.h"
#include "core/os/own_process.h"
#include "core/raylet/raylet.h"
#include "slurm/mpi_keeper.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string out = value == nullptr ? "" : value;
  ::unsetenv(name);
  return out;
}

int fail(const std::string& why) {
  std::fprintf(stderr, "mobula: %s\n", why.c_str());
  return 2;
}

template <class Options, class Run>
int run(const Result<Options>& options, Run run_role) {
  if (!options) return fail(options.error().what);
  const auto secret = inherited_secret();
  if (!secret) return fail(secret.error().what);
  return run_role(*options, *secret);
}

}  // namespace

Result<os::Secret> inherited_secret() {
  const std::string number = take_variable(kEnvSecretFd);
  if (number.empty()) return Error{Code::kDenied, "no secret was passed to this process"};
  const os::Fd fd(std::atoi(number.c_str()));
  return os::Secret::from_fd(fd);
}

std::optional<int> run_role_from_environment() {
  const char* value = std::getenv(kEnvRole);
  const std::string role = value == nullptr ? "" : value;
  if (role != "gcs" && role != "raylet" && role != kRoleMpi) return std::nullopt;
  ::unsetenv(kEnvRole);
  os::keep_ended_children();  // The program may have asked for something else before it called init().
  const std::string options = take_variable(kEnvRoleOptions);
  if (role == kRoleMpi) return slurm::keep_mpi(options);
  if (role == "gcs") return run(parse_gcs_options(options), gcs::run_gcs);
  return run(parse_raylet_options(options), raylet::run_raylet);
}

}  // namespace mobula::cluster

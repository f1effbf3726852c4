#include "slurm/choose_rendezvous.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "slurm/munge.h"
#include "slurm/munge_rendezvous.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::unique_ptr<Rendezvous>> make_munge(const Identity& self, const RendezvousOptions& options) {
  if (self.start_name().empty()) {
    return Error{Code::kUnavailable, "nothing names this start, so that its ports cannot be agreed on"};
  }
  const std::string conf = options.slurm_conf.empty() ? "/etc/slurm/slurm.conf" : options.slurm_conf;
  auto munge = Munge::open(munge_socket_of(read_file(conf)));
  if (!munge) return munge.error();
  MungeRendezvousOptions out{.start = self.start_name(), .listen = {}, .candidates = {}};
  if (self.rank == 0) {
    out.listen = options.listen();
  } else {
    out.candidates = options.rank_zero();
  }
  return make_munge_rendezvous(std::move(*munge), std::move(out));
}

}  // namespace

Result<std::unique_ptr<Rendezvous>> choose_rendezvous(Identity& self, const RendezvousOptions& options) {
  const auto wanted = [&options](const char* name) { return options.setting == "auto" || options.setting == name; };
  std::string why;
  const auto refused = [&why](const char* name, const std::string& reason) {
    why += (why.empty() ? "" : "; ") + std::string(name) + ": " + reason;
  };
  if (wanted("munge")) {
    auto munge = make_munge(self, options);
    if (munge) return munge;
    refused("munge", munge.error().what);
  }
  return Error{Code::kUnavailable,
               "the nodes of this start (" + std::string(name_of(self.launcher)) + ") cannot find each other: " + why};
}

}  // namespace mobula::slurm

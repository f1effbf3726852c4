#include "slurm/choose_rendezvous.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/os/host.h"
#include "slurm/file_rendezvous.h"
#include "slurm/host_list.h"
#include "slurm/mpi_list.h"
#include "slurm/munge.h"
#include "slurm/munge_rendezvous.h"
#include "slurm/pmix_client.h"
#include "slurm/pmix_rendezvous.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;
using Way = Result<std::unique_ptr<Rendezvous>>;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Error nameless() { return {Code::kUnavailable, "nothing names this start"}; }

// One process's choice.
class Chooser {
 public:
  Chooser(Identity& self, const RendezvousOptions& options) : self_(self), options_(options) {}

  Way choose() {
    const auto pmix = [this] { return by_pmix(); };
    const auto pmi = [this] { return by_pmi(); };
    const auto named = [this] { return by_named_file(); };
    const auto munge = [this] { return by_munge(); };
    const auto shared = [this] { return by_shared_file(); };
    if (auto way = attempt("pmix", pmix)) return way;
    if (self_.size == 0) return refusal();  // Nothing else says how many we are.
    if (!options_.some_may_miss) {
      if (auto way = attempt("pmi", pmi)) return way;
    }
    if (options_.is_guest && !(options_.some_may_miss && self_.pmi_fd)) return std::unique_ptr<Rendezvous>();
    if (auto way = attempt("file", named)) return way;
    if (auto way = attempt("munge", munge)) return way;
    if (auto way = attempt("file", shared)) return way;
    if (options_.some_may_miss) {
      if (auto way = attempt("pmi", pmi)) return way;
    }
    return refusal();
  }

 private:
  template <class Make>
  Way attempt(const char* name, Make make) {
    if (options_.setting != "auto" && options_.setting != name) return Error{};
    Way way = make();
    if (!way) why_ += (why_.empty() ? "" : "; ") + std::string(name) + ": " + way.error().what;
    return way;
  }

  Way by_pmix() {
    if (!self_.has_pmix) return Error{Code::kUnavailable, "the launcher offers none"};
    auto client = open_pmix();
    if (!client) return client.error();
    if (self_.size == 0) {
      const auto sizes = (*client)->sizes();
      if (!sizes) return sizes.error();
      self_.size = sizes->size;
      self_.local_rank = sizes->local_rank;
      self_.local_size = sizes->local_size;
    }
    return make_pmix_rendezvous(std::move(*client), options_.afterwards);
  }

  Way by_pmi() {
    if (!self_.pmi_fd) return Error{Code::kUnavailable, "the launcher offers none"};
    auto hosts = parse_host_list(self_.hosts);
    auto way = make_pmi_rendezvous({.fd = *self_.pmi_fd,
                                    .rank = self_.rank,
                                    .size = self_.size,
                                    .host = self_.node_name.empty() ? os::host_name() : self_.node_name,
                                    .hosts = hosts ? std::move(*hosts) : std::vector<std::string>(),
                                    .afterwards = options_.afterwards},
                                   options_.deadline);
    if (way && self_.start_name().empty()) self_.job = (*way)->start_name();
    return way;
  }

  Way by_munge() {
    if (self_.start_name().empty()) return nameless();
    const std::string conf = options_.slurm_conf.empty() ? "/etc/slurm/slurm.conf" : options_.slurm_conf;
    auto munge = Munge::open(munge_socket_of(read_file(conf)));
    if (!munge) return munge.error();
    MungeRendezvousOptions out{.start = self_.start_name(), .listen = {}, .candidates = {}};
    if (self_.rank == 0) {
      out.listen = options_.listen();
    } else {
      out.candidates = options_.rank_zero();
    }
    return make_munge_rendezvous(std::move(*munge), std::move(out));
  }

  Way by_named_file() {
    if (options_.directory.empty()) return Error{Code::kUnavailable, "MOBULA_RENDEZVOUS_DIR names no shared directory"};
    if (self_.start_name().empty()) return nameless();
    return make_file_rendezvous(options_.directory, self_.start_name());
  }

  Way by_shared_file() {
    if (self_.start_name().empty()) return nameless();
    if (!is_on_shared_file_system(options_.home))
      return Error{Code::kUnavailable, "the home directory (" + options_.home + ") is on no shared file system"};
    return make_file_rendezvous(options_.home + "/.mobula", self_.start_name());
  }

  Error refusal() const {
    std::string what =
        "the nodes of this start (" + std::string(name_of(self_.launcher)) + ") cannot find each other: " + why_;
    if (self_.launcher == Launcher::kSrun) {
      const std::string kinds = mpi_list_of_site();
      what += "; start it with a PMI, srun --mpi=pmix or --mpi=pmi2" +
              (kinds.empty() ? std::string() : " (this site's srun has: " + kinds + ")");
    }
    return {Code::kUnavailable, std::move(what)};
  }

  Identity& self_;
  const RendezvousOptions& options_;
  std::string why_;
};

}  // namespace

Way choose_rendezvous(Identity& self, const RendezvousOptions& options) {
  static constexpr std::array kKnown{"auto", "pmix", "pmi", "munge", "file"};
  if (std::find(kKnown.begin(), kKnown.end(), options.setting) == kKnown.end()) {
    return Error{Code::kInvalid, "rendezvous = " + options.setting + " is none of auto, pmix, pmi, munge and file"};
  }
  // What the environment leaves open is asked even on one node.
  const bool is_told = self.is_one_node() && !self.start_name().empty();
  if (is_told) return std::unique_ptr<Rendezvous>();
  if (self.is_one_node() && !self.pmi_fd) {
    self.job = "parent-" + std::to_string(::getppid());  // Of all its tasks; a wrapper between keeps them from meeting.
    return std::unique_ptr<Rendezvous>();
  }
  return Chooser(self, options).choose();
}

}  // namespace mobula::slurm

#include "slurm/identity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "slurm/name_hash.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

// Slurm numbers the batch script, salloc's shell and the external step from the top.
constexpr std::uint32_t kFirstSpecialStep = 0xffff'fff0;
constexpr std::uint32_t kTasksMax = 16u << 20;

std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// Reads one launcher's variables into an Identity, and remembers the first thing that is wrong.
class Reader {
 public:
  explicit Reader(const Environment& environment) : environment_(environment) {}

  std::string_view text(std::string_view name) const { return value_of(environment_, name); }
  bool has(std::string_view name) const { return !text(name).empty(); }

  std::optional<std::uint32_t> optional_number(std::string_view name) {
    if (!has(name)) return std::nullopt;
    const auto out = number_in(text(name));
    if (!out) fail(std::string(name) + "=" + std::string(text(name)) + " is not a number");
    return out;
  }
  std::uint32_t number(std::string_view name) {
    if (!has(name)) fail(std::string(name) + " is missing");
    return optional_number(name).value_or(0);
  }
  // The first of the names that is there.
  std::uint32_t number_or(std::string_view a, std::string_view b, std::uint32_t otherwise) {
    if (has(a)) return number(a);
    return has(b) ? number(b) : otherwise;
  }
  void fail(std::string why) {
    if (!error_) error_ = Error{Code::kInvalid, std::move(why)};
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const Environment& environment_;
  std::optional<Error> error_;
};

bool has_pmix(const Reader& r) {
  constexpr std::array kUris{"PMIX_SERVER_URI2", "PMIX_SERVER_URI21", "PMIX_SERVER_URI3", "PMIX_SERVER_URI4",
                             "PMIX_SERVER_URI41"};
  return r.has("PMIX_RANK") && r.has("PMIX_NAMESPACE") &&
         std::any_of(kUris.begin(), kUris.end(), [&r](const char* uri) { return r.has(uri); });
}

// What Slurm says of the job, good under every launcher.
void read_job(Reader& r, Identity& out) {
  out.job = r.text("SLURM_JOB_ID");
  out.cluster = r.text("SLURM_CLUSTER_NAME");
  out.restart_count = r.optional_number("SLURM_RESTART_COUNT").value_or(0);
}

// Of a proxy's step: several starts of mpirun in one job have a step each.
void read_proxy_step(Reader& r, Identity& out) {
  read_job(r, out);
  if (!out.job.empty()) out.step = r.text("SLURM_STEP_ID");
  out.node_name = r.text("SLURMD_NODENAME");
}

Identity read_open_mpi(Reader& r) {
  Identity out;
  out.launcher = Launcher::kOpenMpi;
  read_proxy_step(r, out);
  out.rank = r.number("OMPI_COMM_WORLD_RANK");
  out.size = r.number("OMPI_COMM_WORLD_SIZE");
  out.local_rank = r.number("OMPI_COMM_WORLD_LOCAL_RANK");
  out.local_size = r.number("OMPI_COMM_WORLD_LOCAL_SIZE");
  out.has_pmix = has_pmix(r);
  // The family of a start is a hash that two hosts' mpiruns may share; where its mpirun listens tells them apart.
  out.job = r.text("PMIX_NAMESPACE");
  if (out.job.empty()) out.job = r.text("OMPI_MCA_ess_base_jobid");
  if (r.has("OMPI_MCA_orte_hnp_uri")) out.job += "-" + name_hash_hex(r.text("OMPI_MCA_orte_hnp_uri"));
  return out;
}

Identity read_prte(Reader& r) {
  Identity out;
  out.launcher = Launcher::kPrte;
  read_proxy_step(r, out);
  out.rank = r.number("PMIX_RANK");
  out.size = 0;
  out.local_size = 0;
  out.has_pmix = true;
  out.job = r.text("PMIX_NAMESPACE");
  return out;
}

Identity read_pals(Reader& r) {
  Identity out;
  out.launcher = Launcher::kPals;
  read_proxy_step(r, out);
  out.rank = r.number_or("PALS_RANKID", "PMI_RANK", 0);
  out.size = r.number("PMI_SIZE");
  out.local_rank = r.number_or("PALS_LOCAL_RANKID", "PMI_LOCAL_RANK", 0);
  out.local_size = r.number_or("PALS_LOCAL_SIZE", "PMI_LOCAL_SIZE", 1);
  out.node_index = r.optional_number("PALS_NODEID");
  if (r.has("PALS_APID")) out.job = r.text("PALS_APID");
  out.has_pmix = has_pmix(r);
  return out;
}

Identity read_pmi(Reader& r) {
  Identity out;
  out.launcher = r.has("HYDI_CONTROL_FD") || r.has("MPI_LOCALRANKID") ? Launcher::kHydra : Launcher::kPmi;
  read_proxy_step(r, out);
  out.rank = r.number("PMI_RANK");
  out.size = r.number("PMI_SIZE");
  out.local_rank = r.number_or("MPI_LOCALRANKID", "PMI_LOCAL_RANK", 0);
  out.local_size = r.number_or("MPI_LOCALNRANKS", "PMI_LOCAL_SIZE", 1);
  if (r.has("PMI_FD")) out.pmi_fd = static_cast<int>(r.number("PMI_FD"));
  return out;
}

Identity read_srun(Reader& r) {
  Identity out;
  out.launcher = Launcher::kSrun;
  read_job(r, out);
  out.rank = r.number("SLURM_PROCID");
  out.size = r.number_or("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", 1);
  out.local_rank = r.number("SLURM_LOCALID");
  out.step = r.text("SLURM_STEP_ID");
  out.node_index = r.number("SLURM_NODEID");
  out.node_count = r.number_or("SLURM_STEP_NUM_NODES", "SLURM_NNODES", 1);
  out.node_name = r.text("SLURMD_NODENAME");
  out.hosts = r.text(r.has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST");
  out.is_het = r.has("SLURM_HET_SIZE");
  out.cpus_on_node = r.text("SLURM_CPUS_ON_NODE");
  out.mpi_type = r.text("SLURM_MPI_TYPE");
  if (out.mpi_type == "none") out.mpi_type.clear();
  const auto tasks =
      tasks_of_node(r.text(r.has("SLURM_STEP_TASKS_PER_NODE") ? "SLURM_STEP_TASKS_PER_NODE" : "SLURM_TASKS_PER_NODE"),
                    out.node_index.value_or(0));
  if (!tasks) r.fail("SLURM_STEP_TASKS_PER_NODE does not say how many tasks this node has");
  out.local_size = tasks.value_or(1);
  out.has_pmix = has_pmix(r);
  if (r.has("PMI_FD")) out.pmi_fd = static_cast<int>(r.number("PMI_FD"));
  return out;
}

bool is_srun_task(const Reader& r) {
  const auto step = number_in(r.text("SLURM_STEP_ID"));
  return step && *step < kFirstSpecialStep && r.has("SLURM_PROCID") && r.has("SLURM_LOCALID") && r.has("SLURM_NODEID");
}

// srun's own PMI names the same rank as Slurm does; a proxy's does so only by chance, and Hydra's says more.
bool is_pmi_of_srun(const Reader& r) {
  return is_srun_task(r) && !r.has("HYDI_CONTROL_FD") && !r.has("MPI_LOCALRANKID") &&
         r.text("PMI_RANK") == r.text("SLURM_PROCID") && r.text("PMI_SIZE") == r.text("SLURM_STEP_NUM_TASKS");
}

bool is_pmix_of_srun(const Reader& r) {
  constexpr std::string_view kNamespace = "slurm.pmix.";
  return is_srun_task(r) && r.text("PMIX_NAMESPACE").substr(0, kNamespace.size()) == kNamespace;
}

Identity read(Reader& r) {
  if (r.has("MOBULA_ROLE")) return {};
  if (r.has("OMPI_COMM_WORLD_RANK")) return read_open_mpi(r);
  if (r.has("PALS_RANKID") || r.has("PALS_APID")) return read_pals(r);
  if (r.has("PMI_RANK") && r.has("PMI_SIZE") && !is_pmi_of_srun(r)) return read_pmi(r);
  if (has_pmix(r) && !is_pmix_of_srun(r)) return read_prte(r);
  if (is_srun_task(r)) return read_srun(r);
  return {};
}

}  // namespace

const char* name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::kNone: return "none";
    case Launcher::kSrun: return "srun";
    case Launcher::kOpenMpi: return "mpirun of Open MPI";
    case Launcher::kPrte: return "prterun";
    case Launcher::kHydra: return "mpiexec (Hydra)";
    case Launcher::kPals: return "mpiexec (PALS)";
    case Launcher::kPmi: return "a launcher with PMI";
  }
  return "";
}

std::string Identity::start_name() const {
  std::string out = job;
  if (!step.empty()) out += "." + step;
  if (restart_count != 0) out += "r" + std::to_string(restart_count);
  return out;
}

Result<Identity> identify(const Environment& environment) {
  Reader reader(environment);
  Identity out = read(reader);
  if (reader.error()) {
    return Error{Code::kInvalid,
                 std::string("this process was started by ") + name_of(out.launcher) + ", but " + reader.error()->what};
  }
  const bool known = out.size != 0;
  if (known &&
      (out.rank >= out.size || out.local_rank >= out.local_size || out.local_size > out.size || out.size > kTasksMax)) {
    return Error{Code::kInvalid, std::string(name_of(out.launcher)) + " contradicts itself: rank " +
                                     std::to_string(out.rank) + " of " + std::to_string(out.size) + ", on its node " +
                                     std::to_string(out.local_rank) + " of " + std::to_string(out.local_size)};
  }
  return out;
}

std::optional<std::uint32_t> tasks_of_node(std::string_view text, std::uint32_t node_index) {
  std::uint64_t before = 0;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t open = part.find("(x");
    const auto tasks = number_in(part.substr(0, open));
    std::optional<std::uint32_t> times = 1;
    if (open != std::string_view::npos) {
      if (part.back() != ')') return std::nullopt;
      times = number_in(part.substr(open + 2, part.size() - open - 3));
    }
    if (!tasks || !times) return std::nullopt;
    before += *times;
    if (node_index < before) return tasks;
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return std::nullopt;
}

}  // namespace mobula::slurm

// MPI programs: seats for the ranks, a task beside the caller that keeps the launcher, and what became of it.
#include "mobula/mpi.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "core/api/runtime_access.h"
#include "core/cluster/child_environment.h"
#include "core/cluster/environment.h"
#include "core/cluster/role_options.h"
#include "core/cluster/roles.h"
#include "core/os/command.h"
#include "core/os/host.h"
#include "core/os/process.h"
#include "mobula/mobula.h"
#include "slurm/mpi_command.h"
#include "slurm/mpi_failure.h"
#include "slurm/mpi_list.h"
#include "slurm/mpi_run.h"

namespace mobula::detail {

// Where an actor is.
struct MpiPlace {
  std::string node;  // Its id.
  std::string host;
};

// Holds the resources of ranks.
class MpiSeat {
 public:
  MpiSeat() = default;
  explicit MpiSeat(const MpiPlace&) {}  // After the seat that is there.
};

struct MpiSpec {
  std::string program;
  std::vector<std::string> arguments;
  std::string working_dir;
  std::string launcher;
  std::vector<std::string> launcher_arguments;
  std::string mpi;
  std::map<std::string, std::string> env;
  std::vector<Ref<MpiPlace>> places;
  std::vector<ActorHandle<MpiSeat>> seats;  // Kept as long as the ranks run.
};

struct MpiEnd {
  std::string program;
  std::uint64_t ranks = 0;
  std::string launcher;
  int code = 0;
  std::string last_words;  // Of stderr.
  std::string blame;       // What the launcher says: the end of stderr, longer.
};

struct MpiPlan {
  int size = 1;
  runtime::ActorSpecOptions seat_spec;
  std::map<std::string, std::string> env;
  std::string working_dir;
  std::string launcher = "auto";
  std::vector<std::string> launcher_arguments;
  std::string mpi = "auto";
};

namespace {

using base::Result;

constexpr auto kLook = std::chrono::milliseconds(50);      // For a cancellation.
constexpr auto kAskTime = std::chrono::seconds(10);        // A launcher for its version, srun for its kinds.
constexpr std::size_t kProgramBytesMax = 8 * 1024 * 1024;  // Of an executable, looked through for its MPI's name.
constexpr std::size_t kBlameBytesMax = 64 * 1024;
constexpr int kLastLines = 12;

constexpr const char* kSlurmNode = "SLURMD_NODENAME";

const FunctionEntry* place_entry();

// As errors.cc finds it again.
constexpr const char* kTypeName = "mobula::MpiError";

[[noreturn]] void fail(std::string what, std::vector<std::string> evidence, std::string remedy) {
  auto info = std::make_shared<base::ErrorInfo>();
  info->kind = base::ErrorKind::kTask;
  info->std_type = base::StdException::kRuntimeError;
  info->type = kTypeName;
  info->what = std::move(what);
  info->evidence = std::move(evidence);
  info->remedy = std::move(remedy);
  info->pid = ::getpid();
  throw MpiError(std::move(info));
}

std::vector<std::string> words_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string last_lines(const std::string& text, int lines) {
  std::size_t at = text.size();
  while (at > 0 && lines >= 0) {
    if (text[at - 1] == '\n' && lines-- == 0) break;
    --at;
  }
  return text.substr(at);
}

// What a user has set for Open MPI; of a process that an mpirun has started the variables are that mpirun's.
std::map<std::string, std::string> users_settings() {
  std::map<std::string, std::string> out;
  const bool by_mpirun = !variable("OMPI_COMM_WORLD_RANK").empty();
  for (const auto& [name, value] : slurm::to_environment(os::environment())) {
    if (name.rfind("OMPI_ALLOW_RUN_AS_ROOT", 0) == 0 || (!by_mpirun && name.rfind("OMPI_MCA_", 0) == 0)) {
      out[name] = value;
    }
  }
  return out;
}

std::string beginning_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string out(kProgramBytesMax, '\0');
  file.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(file.gcount()));
  return out;
}

// Names by which a launcher knows the nodes of places.  Workers see the driver's environment, so Slurm's name for a
// node is what its raylet was given as name.
std::vector<std::string> names_in_slurm(const std::vector<MpiPlace>& places) {
  std::map<std::string, std::string> names;
  const auto status = nlohmann::json::parse(cluster_status_json());
  for (const auto& node : status["nodes"]) {
    const bool launched = node["labels"].contains(cluster::kTasksLabel);
    names[node["id"].get<std::string>()] = launched ? node["name"].get<std::string>() : variable(kSlurmNode);
  }
  std::vector<std::string> out;
  for (const auto& place : places) out.push_back(names[place.node]);
  return out;
}

// Chooses and asks, on the node that will start the ranks.
class Choice {
 public:
  Choice(const MpiSpec& spec, const std::vector<MpiPlace>& places) : spec_(spec), env_(os::environment()) {
    start_.in_allocation = !variable("SLURM_JOB_ID").empty() && !variable(kSlurmNode).empty();
    if (start_.in_allocation) {
      start_.hosts = names_in_slurm(places);
    } else {
      const std::string here = os::host_name();
      for (const auto& place : places) start_.hosts.push_back(place.host);
      start_.is_local =
          std::all_of(start_.hosts.begin(), start_.hosts.end(), [&](const auto& host) { return host == here; });
    }
    start_.program = spec.program;
    start_.arguments = spec.arguments;
    start_.launcher_arguments = spec.launcher_arguments;
    start_.rsh = variable("MOBULA_RSH");
  }

  slurm::MpiRun::Options choose() {
    if (spec_.launcher == "auto") {
      if (!(start_.in_allocation && by_srun()) && !by_mpirun("mpirun")) no_launcher("mpirun");
    } else if (spec_.launcher == "srun") {
      if (!start_.in_allocation) fail("srun starts MPI programs inside a Slurm job only", {}, "leave launcher at auto");
      if (!by_srun()) no_launcher("srun");
    } else if (!by_mpirun(spec_.launcher)) {
      no_launcher(spec_.launcher);
    }
    slurm::MpiRun::Options out;
    out.launcher_path = os::find_program(start_.launcher);
    slurm::Environment env = slurm::to_environment(cluster::child_environment(env_));
    for (const auto& [name, value] : spec_.env) env[name] = value;
    out.command = slurm::mpi_command(start_, env);
    out.directory = spec_.working_dir;
    out.keeper_env = {cluster::assignment(cluster::kEnvRole, cluster::kRoleMpi),
                      cluster::assignment(cluster::kEnvRoleOptions, out.launcher_path)};
    return out;
  }
  const std::string& launcher() const { return start_.launcher; }

 private:
  bool by_srun() {
    const auto kinds = os::run_command({{"srun", "--mpi=list"}, env_, kAskTime});
    if (!kinds) return false;
    start_.kind = slurm::MpiLauncher::kSrun;
    start_.launcher = "srun";
    start_.pmi = spec_.mpi;
    if (spec_.mpi != "auto") return true;
    start_.pmi = slurm::pmi_for(beginning_of(os::find_program(spec_.program)), slurm::parse_mpi_list(*kinds));
    return !start_.pmi.empty() || spec_.launcher == "srun";
  }

  bool by_mpirun(const std::string& name) {
    const auto version = os::run_command({{name, "--version"}, env_, kAskTime});
    if (!version) return false;
    start_.kind = slurm::launcher_of_version(*version);
    start_.launcher = name;
    return true;
  }

  [[noreturn]] void no_launcher(const std::string& name) {
    fail("no launcher for an MPI program: \"" + name + "\" cannot be run here" +
             (start_.in_allocation ? ", and the site's srun has neither --mpi=pmix nor --mpi=pmi2" : ""),
         {"PATH " + variable("PATH")},
         "install an MPI whose mpirun is in PATH, or name one: .launcher = \"/path/to/mpirun\"");
  }

  const MpiSpec& spec_;
  const std::vector<std::string> env_;
  slurm::MpiStart start_;
};

// The launcher passes on what a program that is not there does in too many ways.
void check_program(const MpiSpec& spec) {
  const std::string path = os::find_program(spec.program);
  const std::string from =
      spec.working_dir.empty() || path.empty() || path.front() == '/' ? path : spec.working_dir + "/" + path;
  if (path.empty() || ::access(from.c_str(), X_OK) != 0) {
    fail("there is no MPI program " + spec.program + " on node " + os::host_name(), {},
         "give a path that is the same on every node");
  }
}

// The seats of one program, and the one that each rank has.
//
// A program that had a part of its seats and waited for the others could wait for another that has those, for ever.  So
// they are taken all or none (by size: a placement group), or in one order by all (on nodes: a seat per node for all
// of its ranks, by the nodes' ids, each only when the one before is there).
struct Seats {
  std::vector<runtime::ActorRef> actors;
  std::vector<std::size_t> of_rank;
  std::vector<Ref<MpiPlace>> places;  // Of the actors.

  void add(const runtime::ActorSpecOptions& options, const Ref<MpiPlace>* after = nullptr) {
    runtime::Arguments arguments;
    if (after != nullptr) Arg<MpiPlace>(*after).add_to(arguments);
    const auto* entry =
        after == nullptr ? ConstructorFunction<MpiSeat>::entry() : ConstructorFunction<MpiSeat, MpiPlace>::entry();
    actors.push_back(create_actor(*entry, options, std::move(arguments)));
    places.push_back(submit_call<Whole<MpiPlace>>(actors.back(), *place_entry()));
  }
};

// For so many ranks; above one GPU only whole ones can be had.
runtime::ActorSpecOptions times(const runtime::ActorSpecOptions& one, std::size_t ranks) {
  runtime::ActorSpecOptions out = one;
  for (std::size_t i = 1; i < ranks; ++i) out.resources.add(one.resources);
  const double gpus = out.resources.get("gpus").value();
  if (gpus > 1) out.resources.set("gpus", base::Amount::of(std::ceil(gpus)));
  return out;
}

Seats seats_on(const runtime::ActorSpecOptions& options, const std::vector<std::string>& nodes) {
  const auto status = nlohmann::json::parse(cluster_status_json());
  const auto id_of = [&status](const std::string& name) {
    for (const auto& node : status["nodes"]) {
      const auto id = node["id"].get<std::string>();
      if (node["name"] == name || id.rfind(name, 0) == 0) return id;
    }
    return name;
  };
  std::map<std::string, std::pair<std::string, std::size_t>> by_id;  // A name of the node, ranks there.
  std::vector<std::string> ids;
  for (const std::string& name : nodes) {
    ids.push_back(id_of(name));
    auto& [node, ranks] = by_id[ids.back()];
    node = name;
    ++ranks;
  }
  Seats out;
  std::map<std::string, std::size_t> seat_of;
  for (const auto& [id, node] : by_id) {
    runtime::ActorSpecOptions seat = times(options, node.second);
    seat.strategy.kind = runtime::NodeAffinity{node.first, false};
    seat_of[id] = out.actors.size();
    const Ref<MpiPlace> before = out.places.empty() ? Ref<MpiPlace>() : out.places.back();
    out.add(seat, out.places.empty() ? nullptr : &before);
  }
  for (const std::string& id : ids) out.of_rank.push_back(seat_of[id]);
  return out;
}

Seats seats_by_size(const MpiPlan& plan) {
  const auto size = static_cast<std::size_t>(plan.size);
  const auto* affinity = std::get_if<runtime::NodeAffinity>(&plan.seat_spec.strategy.kind);
  const bool is_one_place = (affinity != nullptr && !affinity->soft) || plan.seat_spec.bundle >= 0;
  Seats out;
  if (is_one_place) {
    out.add(times(plan.seat_spec, size));
    out.of_rank.assign(size, 0);
    return out;
  }
  runtime::ActorSpecOptions seat = plan.seat_spec;
  const bool reserves = size > 1 && seat.placement_group.is_nil() && affinity == nullptr && !seat.resources.empty();
  if (reserves) {
    const bool spread = std::holds_alternative<runtime::Spread>(seat.strategy.kind);
    using Placement = runtime::GroupSpecOptions::Placement;
    runtime::GroupSpecOptions group;
    group.placement = spread ? Placement::kSpread : Placement::kPack;
    group.bundles.assign(size, seat.resources);
    group.members = static_cast<std::uint32_t>(size);
    group.ns = seat.ns;
    group.labels = std::exchange(seat.strategy.labels, {});
    seat.strategy.kind = {};
    runtime::PlacementGroups* groups = InSession()->placement_groups();
    if (groups == nullptr) throw_invalid("this runtime has no placement groups");
    const auto made = groups->create_group(group);
    if (!made) throw_error(made.error());
    seat.placement_group = made->id;
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (reserves) seat.bundle = static_cast<int>(i);
    out.add(seat);
    out.of_rank.push_back(i);
  }
  return out;
}

void place_body(Invocation& invocation) {
  deliver(invocation, 0, MpiPlace{InSession()->context().node.hex(), os::host_name()});
}

}  // namespace

std::tuple<std::string, std::string, MpiEnd> run_mpi(const MpiSpec& spec) {
  const std::vector<MpiPlace> places = get(spec.places);
  check_program(spec);
  Choice choice(spec, places);
  auto started = slurm::MpiRun::start(choice.choose());
  if (!started) fail("the MPI program cannot be started: " + started.error().what, {}, "");
  slurm::MpiRun& run = **started;
  while (!run.wait(kLook)) {
    if (!context().cancelled) continue;
    base::ErrorInfo info;
    info.kind = ErrorKind::kCancelled;
    info.what = "the MPI program " + spec.program + " was cancelled";
    started->reset();  // All of it has ended when this returns.
    throw_error(info);
  }
  MpiEnd end{.program = spec.program,
             .ranks = places.size(),
             .launcher = choice.launcher(),
             .code = run.code(),
             .last_words = {},
             .blame = {}};
  std::string errors = run.take_err();
  end.last_words = last_lines(errors, kLastLines);
  end.blame = errors.substr(errors.size() - std::min(errors.size(), kBlameBytesMax));
  return {run.take_out(), std::move(errors), std::move(end)};
}

int check_mpi(const MpiEnd& end) {
  if (end.code == 0) return 0;
  const slurm::MpiFailure failure = slurm::read_mpi_failure(end.blame, end.code);
  std::string who = failure.rank ? "rank " + std::to_string(*failure.rank) + " of " : "a rank of ";
  who += end.program + " (" + std::to_string(end.ranks) + " ranks" +
         (failure.host.empty() ? ")" : ", on " + failure.host + ")");
  std::vector<std::string> evidence;
  if (failure.rank) evidence.push_back("rank " + std::to_string(*failure.rank));
  if (failure.signal != 0) evidence.push_back("signal " + std::to_string(failure.signal));
  evidence.push_back("exit code " + std::to_string(failure.exit_code));
  evidence.push_back(end.launcher + " ended with " + std::to_string(end.code));
  if (!end.last_words.empty()) evidence.push_back("its last words:\n" + end.last_words);
  std::string how = failure.aborted       ? " called MPI_Abort with " + std::to_string(failure.exit_code)
                    : failure.signal != 0 ? " was killed by signal " + std::to_string(failure.signal)
                                          : " ended with exit code " + std::to_string(failure.exit_code);
  fail(who + how, std::move(evidence), "the whole of what it wrote is in errors() and output()");
}

namespace {
struct MpiPlaceTag {};
// Any actor answers it, whatever its class.
const FunctionEntry* place_entry() { return Registered<MpiPlaceTag, FunctionKind::kMethod, &place_body>::entry; }
}  // namespace

std::shared_ptr<const MpiPlan> copy_options(const MpiOptions& o) {
  if (o.size < 1) throw_invalid("option size: an MPI program has at least one rank");
  auto plan = std::make_shared<MpiPlan>();
  plan->size = o.size;
  plan->seat_spec = *copy_options(ActorOptions{.cpus = o.cpus,
                                               .gpus = o.gpus,
                                               .memory = o.memory,
                                               .resources = o.resources,
                                               .labels = o.labels,
                                               .scheduling = o.scheduling,
                                               .placement_group = o.placement_group,
                                               .bundle = o.bundle});
  o.env.for_each([&](std::string_view name, std::string_view value) { plan->env[std::string(name)] = value; });
  plan->working_dir = o.working_dir;
  plan->launcher = o.launcher;
  plan->launcher_arguments = words_of(o.launcher_arguments);
  plan->mpi = o.mpi;
  return plan;
}

MpiRefs start_mpi(const MpiPlan* plan, std::string_view program, const std::vector<std::string>& arguments,
                  const std::vector<runtime::ActorRef>* actors, const std::vector<std::string>* nodes) {
  static const std::shared_ptr<const MpiPlan> alone = copy_options(MpiOptions{});
  if (plan == nullptr) plan = alone.get();
  if (program.empty()) throw_invalid("an MPI program needs a name");
  MpiSpec spec{.program = std::string(program),
               .arguments = arguments,
               .working_dir = plan->working_dir,
               .launcher = plan->launcher,
               .launcher_arguments = plan->launcher_arguments,
               .mpi = plan->mpi,
               .env = users_settings(),
               .places = {},
               .seats = {}};
  for (const auto& [name, value] : plan->env) spec.env[name] = value;
  if (actors != nullptr) {
    for (const auto& actor : *actors) spec.places.push_back(submit_call<Whole<MpiPlace>>(actor, *place_entry()));
  } else {
    const Seats seats = nodes == nullptr ? seats_by_size(*plan) : seats_on(plan->seat_spec, *nodes);
    for (const std::size_t seat : seats.of_rank) spec.places.push_back(seats.places[seat]);
    for (const auto& seat : seats.actors) spec.seats.emplace_back(seat);
  }
  if (spec.places.empty()) throw_invalid("an MPI program has at least one rank", "name an actor or a node");
  const std::string here = InSession()->context().node.hex();
  auto [output, errors, end] =
      remote<&run_mpi>.with({.cpus = 0, .max_retries = 0, .name = "mpi_gang", .scheduling = NodeAffinity{.node = here}}).split()(spec);
  auto exit = remote<&check_mpi>.with({.cpus = 0, .max_retries = 0, .name = "mpi_gang"})(end);
  return {std::move(output), std::move(errors), std::move(exit)};
}

}  // namespace mobula::detail

namespace mobula {

void MpiGang::cancel_ref_of(const Ref<std::string>& ref) { mobula::cancel(ref); }

}  // namespace mobula

#include "core/cluster/launched.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/cluster/embedded.h"
#include "core/cluster/lent.h"
#include "core/cluster/node_address.h"
#include "core/cluster/settings_load.h"
#include "core/os/event_loop.h"
#include "core/os/host.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/os/signal_pipe.h"
#include "slurm/choose_rendezvous.h"
#include "slurm/framed.h"
#include "slurm/host_list.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr auto kEndTime = std::chrono::seconds(5);
// Slurm kills 30 s after it has told a job to end, and a drain may take 20.
constexpr auto kGraceTime = std::chrono::seconds(25);
constexpr auto kLookEvery = std::chrono::milliseconds(200);
constexpr std::uint64_t kExtentBytes = 16u << 20;

base::Duration left_until(base::Time deadline) {
  return std::max<base::Duration>(std::chrono::milliseconds(1), deadline - os::now());
}

std::string home_directory() {
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : home;
}

std::string short_host_name() {
  const std::string name = os::host_name();
  return name.substr(0, name.find('.'));
}

}  // namespace

Result<std::unique_ptr<LaunchedCluster>> LaunchedCluster::start(Options options, const base::Settings& settings) {
  auto cluster = std::unique_ptr<LaunchedCluster>(new LaunchedCluster(std::move(options), settings));
  const auto seconds = settings.number("start_timeout");
  if (!seconds) return seconds.error();
  cluster->deadline_ = os::now() + std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(*seconds));
  cluster->signals_.emplace();
  const auto begun = cluster->begin();
  if (!begun) return begun.error();
  cluster->signals_.reset();
  return cluster;
}

LaunchedCluster::~LaunchedCluster() {
  if (!signals_) signals_.emplace();
  {
    const auto held = signals_->hold();
    if (session_) signals_->owns(session_->path());
    if (launch_) signals_->owns(launch_->children());
  }
  if (launch_) end_children(launch_->children(), kEndTime);
  meeting_.reset();
  session_.reset();
}

Result<void> LaunchedCluster::begin() {
  if (const auto chosen = choose_way(); !chosen) return chosen;
  return identity().is_node_leader() ? be_leader() : be_guest();
}

Result<void> LaunchedCluster::choose_way() {
  slurm::Identity& self = options_.identity;
  slurm::RendezvousOptions options;
  options.setting = settings_.text("rendezvous");
  options.afterwards = options_.all_ranks ? slurm::Afterwards::kMpi : slurm::Afterwards::kNothing;
  options.is_guest = !self.is_node_leader();
  options.some_may_miss = !settings_.is_auto("min_nodes");
  options.deadline = deadline_;
  options.listen = [this] { return seat_.interface; };
  options.rank_zero = [this] { return addresses_of_rank_zero(identity()); };
  options.slurm_conf = options_.slurm_conf;
  options.directory = settings_.is_auto("rendezvous_dir") ? "" : settings_.text("rendezvous_dir");
  options.home = home_directory();
  if (self.rank == 0 && has_several_nodes()) {
    if (const auto listening = listen_at(""); !listening) return listening;
  }
  auto chosen = slurm::choose_rendezvous(self, options);
  if (!chosen) return chosen.error();
  rendezvous_ = std::move(*chosen);
  if (self.is_one_node()) seat_.interface.clear();  // PMIx may have been the first to say so.
  return {};
}

Result<void> LaunchedCluster::listen_at(const std::string& towards) {
  auto address = interface_address(settings_.text("interface"));
  if (!address) return address.error();
  seat_.interface = address->empty() ? address_for_others(identity(), towards) : std::move(*address);
  return {};
}

std::string LaunchedCluster::meeting_name() const {
  const slurm::Identity& self = identity();
  return self.start_name() + "/" + (self.node_name.empty() ? os::host_name() : self.node_name);
}

Result<void> LaunchedCluster::be_guest() {
  const slurm::Share share = share_of_this_task(identity().local_rank);
  // Before the answer: the leader gives it when it has been to the launcher's barrier, where all tasks must come.
  auto guest = slurm::LocalMeeting::attend(os::sessions_root(), meeting_name(), share, deadline_);
  if (!guest) return guest.error();
  if (rendezvous_ != nullptr && rendezvous_->is_collective()) {
    if (const auto attended = rendezvous_->attend(deadline_); !attended) return attended;
  }
  if (!options_.all_ranks) return {};
  auto answer = slurm::receive_framed(*guest, deadline_);
  if (!answer) return answer.error();
  const auto seated = take_seat(*answer);
  slurm::wipe(*answer);
  return seated;
}

// Goes over a socket that the kernel shows to both users alone.
void LaunchedCluster::welcome_guests() {
  if (meeting_ == nullptr) return;
  if (options_.all_ranks) {
    base::Buffer out;
    out.put_string(seat_.raylet_address);
    out.put_string(seat_.session_directory);
    out.put_string(seat_.interface);
    out.put_string(seat_.job.bytes());
    out.append(secret_->view());
    std::string bytes(base::as_string_view(out.view()));
    meeting_->answer(bytes);
    slurm::wipe(bytes);
    std::fill_n(out.data(), out.size(), std::byte{0});
  }
  meeting_.reset();
}

Result<void> LaunchedCluster::take_seat(const std::string& bytes) {
  base::Cursor in(base::as_bytes(bytes));
  seat_.raylet_address = in.get_string();
  seat_.session_directory = in.get_string();
  seat_.interface = in.get_string();
  const auto job = base::JobId::from_string(std::string(in.get_string()));
  auto secret = os::Secret::from_bytes(in.take(os::Secret::kBytes));
  if (!in.ok() || in.left() != 0 || !job || !secret) {
    return Error{Code::kLost, "the first task of this node could not start its raylet"};
  }
  seat_.job = *job;
  secret_ = std::move(*secret);
  return {};
}

Result<void> LaunchedCluster::be_leader() {
  const slurm::Identity& self = identity();
  if (self.local_size > 1) {
    const auto held = signals_->hold();
    if (const auto prepared = os::prepare_sessions_root(); !prepared) return prepared;
    auto meeting = slurm::LocalMeeting::open(os::sessions_root(), meeting_name());
    if (!meeting) return meeting.error();
    meeting_ = std::move(*meeting);
    signals_->owns(meeting_->path());
  }
  auto raylet = raylet_options(settings_);
  if (!raylet) return raylet.error();
  raylet->name = self.node_name.empty() ? short_host_name() : self.node_name;
  raylet->labels[kTasksLabel] = std::to_string(self.local_size);
  if (raylet->store_bytes == 0) raylet->store_bytes = store_share(1);
  raylet->store_extent_bytes = std::min(kExtentBytes, raylet->store_bytes);
  raylet->remove_session = true;
  return self.rank == 0 ? be_rank_zero(std::move(*raylet)) : be_other_leader(std::move(*raylet));
}

// Late, just before a child is started that removes it when we are killed: who is killed while it waits for the others
// leaves nothing.
Result<void> LaunchedCluster::make_session() {
  const slurm::Identity& self = identity();
  const auto held = signals_->hold();
  auto session = os::SessionDirectory::create(
      os::SessionDirectory::Lifetime::kRemove,
      self.start_name() + (self.node_index ? "-n" + std::to_string(*self.node_index) : std::string()));
  if (!session) return session.error();
  session_.emplace(std::move(*session));
  signals_->owns(session_->path());
  seat_.session_directory = session_->path();
  return {};
}

Result<void> LaunchedCluster::be_rank_zero(RayletOptions raylet) {
  const slurm::Identity& self = identity();
  if (const auto made = make_session(); !made) return made;
  secret_ = os::Secret::generate();
  seat_.job = os::random_id<base::JobId>();
  auto launch = Launch::prepare({.session_directory = session_->path(), .watch_nodes = has_several_nodes()}, *secret_);
  if (!launch) return launch.error();
  launch_.emplace(std::move(*launch));
  GcsOptions gcs;
  gcs.cluster_name = session_->path().substr(session_->path().rfind('/') + 1);
  gcs.tcp_interface = seat_.interface;
  gcs.remove_session = true;
  if (const auto started = start_child([&] { return launch_->start_gcs(gcs); }); !started) return started;
  if (const auto gathered = gather(raylet); !gathered) return gathered;
  raylet.cluster_name = gcs.cluster_name;
  raylet.gcs_address = "unix:" + session_->path() + "/gcs.sock";
  raylet.tcp_interface = seat_.interface;
  const auto listening = launch_->wait(left_until(deadline_));
  if (!listening) return listening.error();
  if (const auto started = start_raylet(std::move(raylet)); !started) return started;
  if (has_several_nodes()) {
    auto copy = os::Secret::from_bytes(secret_->view());
    if (!copy) return copy.error();
    const slurm::Invitation invitation{.uid = ::geteuid(),
                                       .start = self.start_name(),
                                       .build_id = os::self_build_id(),
                                       .cluster = gcs.cluster_name,
                                       .host_key = os::boot_id(),
                                       .gcs_unix = listening->gcs_address,
                                       .gcs_tcp = listening->gcs_tcp_address,
                                       .job = seat_.job,
                                       .secret = std::move(*copy)};
    if (const auto published = rendezvous_->publish(invitation, deadline_); !published) return published;
  }
  if (!has_several_nodes() && rendezvous_ != nullptr) {
    if (const auto attended = rendezvous_->attend(deadline_); !attended) return attended;
  }
  const auto ready = launch_->wait(left_until(deadline_));
  if (!ready) return ready.error();
  seat_.raylet_address = ready->raylets.begin()->second;
  welcome_guests();
  if (!has_several_nodes()) return {};
  const auto joined = wait_for_nodes();
  // Nobody needs it any more, unless nodes are missing that may still come, or an MPI comes next.
  if (joined && settings_.is_auto("min_nodes") && !options_.all_ranks) rendezvous_.reset();
  return joined;
}

Result<void> LaunchedCluster::be_other_leader(RayletOptions raylet) {
  if (const auto gathered = gather(raylet); !gathered) return gathered;
  const auto fetched = rendezvous_->fetch(deadline_);
  if (!fetched) return fetched.error();
  const auto ours = slurm::check(*fetched, ::geteuid(), identity().start_name(), os::self_build_id());
  if (!ours) return ours;
  auto copy = os::Secret::from_bytes(fetched->secret.view());
  if (!copy) return copy.error();
  secret_ = std::move(*copy);
  seat_.job = fetched->job;
  if (const auto listening = listen_at(fetched->gcs_tcp); !listening) return listening;
  if (const auto made = make_session(); !made) return made;
  auto launch = Launch::prepare({.session_directory = session_->path()}, *secret_);
  if (!launch) return launch.error();
  launch_.emplace(std::move(*launch));
  raylet.cluster_name = fetched->cluster;
  raylet.gcs_address = fetched->host_key == os::boot_id() ? fetched->gcs_unix : fetched->gcs_tcp;
  raylet.tcp_interface = seat_.interface;
  if (const auto started = start_raylet(std::move(raylet)); !started) return started;
  const auto ready = launch_->wait(left_until(deadline_));
  if (!ready) return ready.error();
  seat_.raylet_address = ready->raylets.begin()->second;
  welcome_guests();
  return {};
}

// Adds what the other tasks of this node lend.
Result<void> LaunchedCluster::gather(RayletOptions& raylet) {
  std::vector<slurm::Share> shares{share_of_this_task(0)};
  if (meeting_ != nullptr) {
    auto lent = meeting_->gather(identity().local_size, deadline_);
    if (!lent) return lent.error();
    shares.insert(shares.end(), lent->begin(), lent->end());
  }
  cpus_ = all_cpus(shares);
  gpus_ = all_gpus(shares);
  const LentToChildren lent(cpus_, gpus_);
  const unsigned limit = cpus_by_slurm(identity());
  const unsigned cpus = limit == 0 ? os::cpus_available() : std::min(limit, os::cpus_available());
  if (settings_.is_auto("cpus_per_node")) raylet.resources.set("cpus", base::Amount::of(cpus));
  if (settings_.is_auto("gpus_per_node") && gpus_)
    raylet.resources.set("gpus", base::Amount::of(static_cast<double>(count_gpus(*gpus_))));
  return {};
}

Result<void> LaunchedCluster::start_raylet(RayletOptions raylet) {
  if (!seat_.interface.empty()) raylet.settings["interface"] = seat_.interface;
  const LentToChildren lent(cpus_, gpus_);
  return start_child([&] { return launch_->start_raylet(std::move(raylet)); });
}

Result<void> LaunchedCluster::start_child(const std::function<Result<void>()>& start) {
  const auto held = signals_->hold();
  auto started = start();
  signals_->owns(launch_->children());
  return started;
}

Result<void> LaunchedCluster::wait_for_nodes() {
  const slurm::Identity& self = identity();
  std::vector<std::string> names;
  std::uint64_t tasks = 0;
  std::string text;
  while (tasks < self.size) {
    pollfd polled{launch_->joined().get(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - os::now()).count();
    const int n = left <= 0 ? 0 : ::poll(&polled, 1, static_cast<int>(left));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(launch_->joined().get(), buffer.data(), buffer.size());
    if (got <= 0) return Error{Code::kUnavailable, "the GCS ended while the nodes came together"};
    text.append(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const std::size_t tab = text.find('\t');
      names.push_back(text.substr(0, tab));
      tasks += std::strtoull(text.c_str() + tab + 1, nullptr, 10);
      text.erase(0, end + 1);
    }
  }
  if (tasks >= self.size) return {};
  const Error error = missing(names, tasks);
  if (settings_.is_auto("min_nodes")) return error;
  const auto enough = settings_.number("min_nodes");
  if (!enough) return enough.error();
  if (static_cast<double>(names.size()) < *enough) return error;
  std::fprintf(stderr, "mobula: going on without all nodes (min_nodes = %s): %s\n", settings_.text("min_nodes").c_str(),
               error.what.c_str());
  return {};
}

Error LaunchedCluster::missing(const std::vector<std::string>& joined, std::uint64_t tasks) const {
  std::string what = "not all nodes of this start have come within " + settings_.text("start_timeout") +
                     " s (MOBULA_START_TIMEOUT): " + std::to_string(tasks) + " of " + std::to_string(identity().size) +
                     " tasks are there";
  if (auto hosts = slurm::parse_host_list(identity().hosts); hosts && !hosts->empty()) {
    std::erase_if(*hosts, [&joined](const std::string& host) {
      return std::find(joined.begin(), joined.end(), host) != joined.end();
    });
    what += "; missing: " + slurm::write_host_list(*hosts);
  } else {
    what += "; there are: " + slurm::write_host_list(joined);
  }
  return {Code::kDeadline, what + "; MOBULA_MIN_NODES goes on with fewer"};
}

int LaunchedCluster::serve(const std::function<bool()>& may_end) {
  if (!launch_) return 0;
  os::SignalPipe signals({SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGXCPU}, os::SignalPipe::Take::kAll);
  auto& children = launch_->children();
  std::optional<base::Time> end_by;
  for (;;) {
    std::array<pollfd, 2> polled{pollfd{children.front().pidfd.get(), POLLIN, 0}, pollfd{signals.fd(), POLLIN, 0}};
    const base::Duration look = std::min<base::Duration>(end_by ? left_until(*end_by) : kLookEvery, kLookEvery);
    const int wait_ms = end_by ? static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(look).count()) : -1;
    if (::poll(polled.data(), polled.size(), wait_ms) < 0 && errno != EINTR) break;
    if (polled[0].revents != 0) break;
    if (const auto number = signals.take(); number && !end_by) {
      if (*number == SIGTERM || *number == SIGINT || *number == SIGHUP) end_by = os::now() + kGraceTime;
    }
    if (end_by && (os::now() >= *end_by || (may_end && may_end()))) break;
  }
  const auto status = os::reap(children.front().pid);
  if (status && !status->ok()) {
    const std::string who = identity().rank == 0 ? "the GCS" : "the raylet of node " + children.front().name;
    std::fprintf(stderr, "mobula: %s ended with %s\n", who.c_str(), status->to_string().c_str());
  }
  // While signals wait, so that none comes between.
  if (status) children.erase(children.begin());
  end_children(children, kEndTime);
  session_.reset();
  return 0;
}

}  // namespace mobula::cluster

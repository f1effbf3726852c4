#include "core/raylet/program_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "core/cluster/convert.h"
#include "core/os/error.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/raylet/program_digest.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::JobId;
using base::NodeId;
using base::Result;
using cluster::to_id;

constexpr std::size_t kHoldersMax = 16;  // Known of each program...
constexpr int kHoldersTold = 3;          // ...and named to one who asks.
constexpr std::size_t kServedMax = 8;    // Open at a time.
constexpr auto kServedIdle = std::chrono::seconds(20);
constexpr std::size_t kBuildIdMin = 8;
constexpr std::size_t kBuildIdMax = 128;

// It becomes a file's name.
bool is_build_id(const std::string& id) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return id.size() >= kBuildIdMin && id.size() <= kBuildIdMax && std::all_of(id.begin(), id.end(), is_hex);
}

bool is_program(const std::string& path) { return !path.empty() && ::access(path.c_str(), X_OK) == 0; }

}  // namespace

ProgramStore::ProgramStore(os::EventLoop& loop, Options options, Ports ports)
    : loop_(loop), options_(std::move(options)), ports_(std::move(ports)) {}

ProgramStore::~ProgramStore() { loop_.cancel(idle_timer_); }

std::string ProgramStore::find_here(const proto::JobInfo& job) const {
  // Without a build-id one file cannot be told from another: then the path decides.
  if (job.build_id().empty()) return is_program(job.exe()) ? job.exe() : std::string();
  if (is_program(job.exe()) && os::file_build_id(job.exe()) == job.build_id()) return job.exe();
  if (!is_build_id(job.build_id())) return {};
  const std::string kept = options_.directory + "/" + job.build_id();
  if (is_program(kept) && os::file_build_id(kept) == job.build_id()) return kept;
  if (to_id<NodeId>(job.driver_node()) == options_.self && job.driver().pid() > 0) {
    const std::string running = "/proc/" + std::to_string(job.driver().pid()) + "/exe";
    if (os::file_build_id(running) == job.build_id()) return running;
  }
  return {};
}

void ProgramStore::locate(const proto::JobInfo& job, Located located) {
  if (std::string path = find_here(job); !path.empty()) return located(std::move(path));
  const std::string& build = job.build_id();
  const auto home = to_id<NodeId>(job.driver_node());
  const auto refuse = [&](const std::string& why) {
    const std::string name = build.empty() ? job.exe() : job.exe() + " (build-id " + build + ")";
    const std::string there = os::file_build_id(job.exe());
    const std::string other = there.empty() || there == build ? "" : "; the file at its path has build-id " + there;
    located(Error{Code::kNotFound, "the program " + name + " is not on this node, and " + why + other});
  };
  if (build.empty()) return refuse("cannot be fetched: it has no build-id (link it with -Wl,--build-id)");
  if (!is_build_id(build)) return refuse("its build-id is malformed");
  if (home == options_.self) return refuse("its driver, which is on this node, has ended or cannot be read");
  const auto fetching = fetching_.find(build);
  if (fetching != fetching_.end()) return fetching->second.waiting.push_back(std::move(located));
  const auto made = make_directory();
  if (!made) return refuse(made.error().what);
  Fetching& entry = fetching_[build];
  entry.waiting.push_back(std::move(located));
  const auto id = to_id<JobId>(job.job_id());
  os::log(os::LogLevel::kInfo, "fetching build {} of {} from node {}", build, job.exe(), ports_.name_of(home));
  entry.fetch = std::make_unique<ProgramFetch>(
      loop_, ProgramFetch::Ports{ports_.channel, ports_.name_of},
      ProgramFetch::What{id, build, home, options_.self, options_.directory, options_.piece_timeout},
      [this, build, home, id](Result<std::string> path) { fetched(build, home, id, std::move(path)); });
}

Result<void> ProgramStore::make_directory() const {
  if (::mkdir(options_.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return os::error_from_errno(errno, "making " + options_.directory);
  struct statvfs fs {};
  if (::statvfs(options_.directory.c_str(), &fs) == 0 && (fs.f_flag & ST_NOEXEC) != 0) {
    return Error{Code::kDenied, "nothing may be executed under " + options_.directory +
                                    " (mounted noexec); set MOBULA_TMPDIR to another directory"};
  }
  return {};
}

void ProgramStore::fetched(const std::string& build, const NodeId& home, const JobId& job, Result<std::string> path) {
  auto entry = fetching_.extract(build);
  loop_.post([fetch = std::shared_ptr(std::move(entry.mapped().fetch))] {});  // It may not die in its own call.
  if (path) {
    proto::FetchBinary landed;
    landed.set_job_id(job.bytes());
    landed.set_build_id(build);
    if (rpc::Rpc* channel = ports_.channel(home)) (void)channel->notify(proto::BINARY_LANDED, landed);
    drop_unused();
  } else {
    os::log(os::LogLevel::kWarn, "build {} could not be fetched: {}", build, path.error().what);
    path = Error{path.error().code,
                 "the program (build-id " + build + ") could not be brought to this node: " + path.error().what};
  }
  for (const auto& located : entry.mapped().waiting) located(path);
}

void ProgramStore::drop_unused() {
  namespace fs = std::filesystem;
  std::vector<std::pair<fs::file_time_type, fs::path>> kept;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.directory, error)) {
    const std::string name = entry.path().filename();
    if (is_build_id(name)) kept.emplace_back(entry.last_write_time(error), entry.path());
  }
  std::sort(kept.begin(), kept.end());
  std::size_t surplus = kept.size() > kKeptMax ? kept.size() - kKeptMax : 0;
  for (const auto& [when, path] : kept) {
    if (surplus == 0) break;
    if (ports_.in_use(path.filename())) continue;
    fs::remove(path, error);
    --surplus;
  }
}

void ProgramStore::serve_peer(const NodeId& peer, rpc::Rpc& rpc) {
  rpc.on<proto::FetchBinary>(proto::FETCH_BINARY, [this, peer](proto::FetchBinary&& request, rpc::Responder responder) {
    answer(peer, request, responder);
  });
  rpc.on<proto::FetchBinary>(proto::BINARY_LANDED, [this, peer](proto::FetchBinary&& landed, rpc::Responder) {
    const auto* job = ports_.job(to_id<JobId>(landed.job_id()));
    if (job == nullptr || job->build_id() != landed.build_id()) return;
    auto& holders = holders_[landed.build_id()];
    std::erase(holders, peer);
    holders.push_front(peer);
    if (holders.size() > kHoldersMax) holders.pop_back();
    if (holders_.size() <= kKeptMax) return;
    std::erase_if(holders_, [this](const auto& entry) { return !ports_.in_use(entry.first); });
  });
}

void ProgramStore::peer_gone(const NodeId& peer) {
  for (auto& [build, holders] : holders_) std::erase(holders, peer);
  for (auto& [build, fetching] : fetching_) fetching.fetch->peer_gone(peer);
}

// Only programs of jobs: a peer cannot read other files.
void ProgramStore::answer(const NodeId& peer, const proto::FetchBinary& request, const rpc::Responder& responder) {
  const auto* job = ports_.job(to_id<JobId>(request.job_id()));
  if (job == nullptr || job->build_id().empty() || job->build_id() != request.build_id())
    return responder.fail({Code::kNotFound, "no job here runs build-id " + request.build_id()});
  Served* served = open(*job);
  if (served == nullptr) return responder.fail({Code::kNotFound, "it has no copy of build-id " + request.build_id()});
  served->last_used = os::now();
  if (request.size() == 0) {
    if (!served->digest.empty()) return send_manifest(request.build_id(), responder);
    served->waiting.push_back(responder);
    if (served->waiting.size() > 1) return;
    os::log(os::LogLevel::kInfo, "node {} fetches build {}", ports_.name_of(peer), request.build_id());
    return digest_file(loop_, served->file.get(), served->bytes, served->alive,
                       [this, build = request.build_id()](Result<std::string> digest) {
                         const auto entry = served_.find(build);
                         const auto waiting = std::exchange(entry->second.waiting, {});
                         if (digest) entry->second.digest = *digest;
                         for (const auto& waiter : waiting) {
                           if (digest) {
                             send_manifest(build, waiter);
                           } else {
                             waiter.fail(digest.error());
                           }
                         }
                       });
  }
  if (request.size() > kProgramPieceBytes || request.offset() >= served->bytes)
    return responder.fail({Code::kInvalid, "there is no such piece of the program"});
  proto::BinaryChunk piece;
  piece.mutable_data()->resize(request.size());
  const ssize_t n =
      ::pread(served->file.get(), piece.mutable_data()->data(), request.size(), static_cast<off_t>(request.offset()));
  if (n < 0) return responder.fail(os::error_from_errno(errno, "reading the program"));
  piece.mutable_data()->resize(static_cast<std::size_t>(n));
  piece.set_total(served->bytes);
  responder.reply(piece);
}

ProgramStore::Served* ProgramStore::open(const proto::JobInfo& job) {
  const auto known = served_.find(job.build_id());
  if (known != served_.end()) return &known->second;
  const std::string path = find_here(job);
  os::Fd file(path.empty() ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file.valid() || ::fstat(file.get(), &info) != 0 || info.st_size <= 0) return nullptr;
  if (served_.size() >= kServedMax) {
    served_.erase(std::min_element(served_.begin(), served_.end(), [](const auto& a, const auto& b) {
      return a.second.last_used < b.second.last_used;
    }));
  }
  Served& served = served_[job.build_id()];
  served.file = std::move(file);
  served.bytes = static_cast<std::uint64_t>(info.st_size);
  if (idle_timer_ == 0) idle_timer_ = loop_.after(kServedIdle, [this] { close_idle(); });
  return &served;
}

void ProgramStore::close_idle() {
  std::erase_if(served_, [](const auto& entry) {
    return entry.second.waiting.empty() && entry.second.last_used + kServedIdle <= os::now();
  });
  idle_timer_ = served_.empty() ? 0 : loop_.after(kServedIdle, [this] { close_idle(); });
}

// Those named are named last next time, so that their load is shared.
void ProgramStore::send_manifest(const std::string& build, const rpc::Responder& responder) {
  const Served& served = served_.at(build);
  proto::BinaryChunk manifest;
  manifest.set_total(served.bytes);
  manifest.set_digest(served.digest);
  auto& holders = holders_[build];
  for (std::size_t i = 0; i < holders.size() && manifest.holders_size() < kHoldersTold; ++i) {
    manifest.add_holders(holders.front().bytes());
    holders.push_back(holders.front());
    holders.pop_front();
  }
  responder.reply(manifest);
}

}  // namespace mobula::raylet

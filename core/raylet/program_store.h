#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/raylet/program_fetch.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// Where this node has the programs of its jobs, and how it comes to those that it lacks.
//
// A program is known by its build-id.  It is taken, in this order, where the driver has it, if a file with that
// build-id is there on this node; from the session's own store (DIRECTORY/BUILD-ID), where it stays for later jobs;
// from the driver's process itself, should its file have been replaced or removed since it started; and from the other
// nodes.
class ProgramStore {
 public:
  static constexpr std::size_t kKeptMax = 16;  // Programs; beyond it those that no job of this node runs go first.

  struct Options {
    std::string directory;  // Made when it is needed, 0700.
    base::NodeId self;
    base::Duration piece_timeout = std::chrono::seconds(10);
  };
  struct Ports {
    std::function<rpc::Rpc*(const base::NodeId&)> channel;
    std::function<std::string(const base::NodeId&)> name_of;
    std::function<const proto::JobInfo*(const base::JobId&)> job;  // That this node has heard of.
    std::function<bool(const std::string& build_id)> in_use;       // By such a job.
  };
  ProgramStore(os::EventLoop& loop, Options options, Ports ports);
  ~ProgramStore();
  ProgramStore(const ProgramStore&) = delete;
  ProgramStore& operator=(const ProgramStore&) = delete;

  // Calls back with a path that may be executed here: at once where it is here, else when it has come.  Several jobs
  // that lack the same program wait for one fetch.
  using Located = std::function<void(base::Result<std::string> path)>;
  void locate(const proto::JobInfo& job, Located located);

  void serve_peer(const base::NodeId& peer, rpc::Rpc& rpc);  // FETCH_BINARY, BINARY_LANDED.
  void peer_gone(const base::NodeId& peer);

 private:
  struct Served {  // A program that others fetch from us.
    os::Fd file;
    std::uint64_t bytes = 0;
    std::string digest;  // Empty until it is known.
    std::vector<rpc::Responder> waiting;
    base::Time last_used{};
    std::shared_ptr<int> alive = std::make_shared<int>();
  };
  struct Fetching {
    std::unique_ptr<ProgramFetch> fetch;
    std::vector<Located> waiting;
  };
  std::string find_here(const proto::JobInfo& job) const;
  base::Result<void> make_directory() const;
  void fetched(const std::string& build_id, const base::NodeId& home, const base::JobId& job,
               base::Result<std::string> path);
  void drop_unused();
  void answer(const base::NodeId& peer, const proto::FetchBinary& request, const rpc::Responder& responder);
  Served* open(const proto::JobInfo& job);
  void close_idle();
  void send_manifest(const std::string& build_id, const rpc::Responder& responder);

  os::EventLoop& loop_;
  const Options options_;
  const Ports ports_;
  std::map<std::string, Fetching> fetching_;
  std::map<std::string, Served> served_;
  std::map<std::string, std::deque<base::NodeId>> holders_;  // Of programs whose driver is here.
  os::EventLoop::Id idle_timer_ = 0;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace mobula::raylet

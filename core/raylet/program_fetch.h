#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/landing_file.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// A program may not be larger than this.
inline constexpr std::uint64_t kProgramBytesMax = std::uint64_t{16} << 30;
inline constexpr std::uint32_t kProgramPieceBytes = 512 * 1024;

// Brings one program to this node, once.
//
// The raylet of the job's driver says how long it is, what its digest is, and who else has it.  The bytes come in
// pieces, a few in flight, from one holder at a time: first from those that have fetched it themselves, then from the
// driver's raylet, so that one node does not feed all others.  A holder that dies, stalls, refuses or sends other bytes
// than it should is given up for the next.  The file gets its name only when length, digest and build-id are right.
class ProgramFetch {
 public:
  struct Ports {
    std::function<rpc::Rpc*(const base::NodeId&)> channel;  // Null: not reachable.
    std::function<std::string(const base::NodeId&)> name_of;
  };
  struct What {
    base::JobId job;
    std::string build_id;
    base::NodeId home;  // The node of the driver.
    base::NodeId self;
    std::string directory;  // Ours; gets the file BUILD-ID.
    base::Duration piece_timeout = std::chrono::seconds(10);
  };
  // The path, or kNotFound with what each holder said, or what this node lacks: once, from the loop.  Destroying it
  // before ends the work without a word.
  using Done = std::function<void(base::Result<std::string>)>;
  ProgramFetch(os::EventLoop& loop, Ports ports, What what, Done done);
  ProgramFetch(const ProgramFetch&) = delete;
  ProgramFetch& operator=(const ProgramFetch&) = delete;

  // The channel to a dead node is dropped together with what was asked on it: no answer comes, not even an error.
  void peer_gone(const base::NodeId& peer);

 private:
  void ask_home();
  void take_manifest(const proto::BinaryChunk& manifest);
  void next_holder();
  void ask_pieces();
  void take_piece(std::uint64_t offset, const proto::BinaryChunk& piece);
  void give_up_holder(const std::string& why);
  void expect_progress();
  void check();
  void finish(base::Result<std::string> result);
  proto::FetchBinary request(std::uint64_t offset, std::uint32_t size) const;

  os::EventLoop& loop_;
  const Ports ports_;
  const What what_;
  Done done_;
  std::uint64_t total_ = 0;
  std::string digest_;
  std::vector<base::NodeId> holders_;  // Still to be tried; the next one last.
  base::NodeId holder_;
  std::string refusals_;
  std::optional<os::LandingFile> file_;
  std::uint64_t asked_ = 0;    // Of the current holder: every byte before it was asked for...
  std::uint64_t landed_ = 0;   // ...and so many have come.
  std::shared_ptr<int> turn_;  // Of the current holder: answers to another turn are dropped.
};

}  // namespace mobula::raylet

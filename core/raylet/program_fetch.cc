#include "core/raylet/program_fetch.h"

#include <algorithm>
#include <utility>

#include "core/os/digest.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/raylet/program_digest.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::NodeId;
using base::Result;

constexpr std::uint64_t kWindowBytes = 4 * std::uint64_t{kProgramPieceBytes};
constexpr mode_t kMode = 0500;
// The first answer may have to wait for the digest of a program on a slow file system.
constexpr int kManifestPatience = 6;

}  // namespace

ProgramFetch::ProgramFetch(os::EventLoop& loop, Ports ports, What what, Done done)
    : loop_(loop), ports_(std::move(ports)), what_(std::move(what)), done_(std::move(done)) {
  turn_ = std::make_shared<int>();
  loop_.post([this, turn = std::weak_ptr(turn_)] {
    if (!turn.expired()) ask_home();
  });
}

proto::FetchBinary ProgramFetch::request(std::uint64_t offset, std::uint32_t size) const {
  proto::FetchBinary out;
  out.set_job_id(what_.job.bytes());
  out.set_build_id(what_.build_id);
  out.set_offset(offset);
  out.set_size(size);
  return out;
}

void ProgramFetch::ask_home() {
  rpc::Rpc* home = ports_.channel(what_.home);
  if (home == nullptr) {
    return finish(Error{Code::kUnavailable, "the driver's node " + ports_.name_of(what_.home) + " cannot be reached"});
  }
  home->ask<proto::BinaryChunk>(
      proto::FETCH_BINARY, request(0, 0), kManifestPatience * what_.piece_timeout,
      [this, turn = std::weak_ptr(turn_)](Result<proto::BinaryChunk> manifest) {
        if (turn.expired()) return;
        if (manifest) return take_manifest(*manifest);
        finish(Error{manifest.error().code,
                     "the driver's node " + ports_.name_of(what_.home) + " says: " + manifest.error().what});
      });
}

void ProgramFetch::take_manifest(const proto::BinaryChunk& manifest) {
  total_ = manifest.total();
  digest_ = manifest.digest();
  if (total_ == 0 || total_ > kProgramBytesMax || digest_.size() != os::Digest::kBytes) {
    return finish(Error{Code::kInvalid, "a program of " + std::to_string(total_) + " bytes cannot be fetched (limit " +
                                            std::to_string(kProgramBytesMax) + ")"});
  }
  holders_ = {what_.home, what_.home};  // Twice: a channel that breaks is made anew.
  for (const auto& bytes : manifest.holders()) {
    const auto id = NodeId::from_string(bytes);
    if (id && *id != what_.self && *id != what_.home) holders_.push_back(*id);
  }
  auto file = os::LandingFile::create(what_.directory, what_.build_id, total_);
  if (!file) return finish(file.error());
  file_.emplace(std::move(*file));
  next_holder();
}

void ProgramFetch::next_holder() {
  if (holders_.empty()) return finish(Error{Code::kNotFound, "nobody could deliver it" + refusals_});
  holder_ = holders_.back();
  holders_.pop_back();
  turn_ = std::make_shared<int>();
  asked_ = 0;
  landed_ = 0;
  ask_pieces();
  expect_progress();
}

// Beside the deadline of each question, which goes when its channel is dropped.
void ProgramFetch::expect_progress() {
  loop_.after(what_.piece_timeout + what_.piece_timeout / 2, [this, turn = std::weak_ptr(turn_), seen = landed_] {
    if (turn.expired() || landed_ == total_) return;
    if (landed_ == seen) return give_up_holder("it has sent nothing for too long");
    expect_progress();
  });
}

void ProgramFetch::peer_gone(const NodeId& peer) {
  if (turn_ == nullptr) return;
  if (peer == what_.home) {
    loop_.post([this, turn = std::weak_ptr(turn_)] {
      if (!turn.expired()) finish(Error{Code::kUnavailable, "the driver's node has died"});
    });
  } else if (file_ && peer == holder_ && landed_ != total_) {
    give_up_holder("it has died");
  }
}

void ProgramFetch::ask_pieces() {
  rpc::Rpc* channel = ports_.channel(holder_);
  if (channel == nullptr) return give_up_holder("it cannot be reached");
  while (asked_ < total_ && asked_ < landed_ + kWindowBytes) {
    const std::uint64_t offset = asked_;
    const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(kProgramPieceBytes, total_ - offset));
    asked_ += size;
    channel->ask<proto::BinaryChunk>(
        proto::FETCH_BINARY, request(offset, size), what_.piece_timeout,
        [this, turn = std::weak_ptr(turn_), offset, size](Result<proto::BinaryChunk> piece) {
          if (turn.expired()) return;
          if (!piece) return give_up_holder(piece.error().what);
          if (piece->data().size() != size) return give_up_holder("it sent a piece of another length");
          take_piece(offset, *piece);
        });
  }
}

void ProgramFetch::take_piece(std::uint64_t offset, const proto::BinaryChunk& piece) {
  const auto written = file_->write(offset, base::as_bytes(piece.data()));
  if (!written) return finish(written.error());
  landed_ += piece.data().size();
  if (landed_ == total_) return check();
  ask_pieces();
}

void ProgramFetch::give_up_holder(const std::string& why) {
  os::log(os::LogLevel::kWarn, "fetching build {} from node {}: {}", what_.build_id, ports_.name_of(holder_), why);
  refusals_ += "; " + ports_.name_of(holder_) + ": " + why;
  // Not from here: the channel that told us so may be about to be replaced.
  turn_ = std::make_shared<int>();
  loop_.post([this, turn = std::weak_ptr(turn_)] {
    if (!turn.expired()) next_holder();
  });
}

// What lies on the disk is read again: it is that which will run.
void ProgramFetch::check() {
  digest_file(loop_, file_->fd().get(), total_, turn_, [this](Result<std::string> digest) {
    if (!digest) return finish(digest.error());
    if (*digest != digest_) return give_up_holder("its bytes have another digest than those of the driver's program");
    const std::string build = os::file_build_id(file_->path());
    if (build != what_.build_id) return give_up_holder("its bytes have the build-id " + build);
    finish(file_->land(kMode));
  });
}

void ProgramFetch::finish(Result<std::string> result) {
  turn_.reset();
  file_.reset();
  const auto done = std::exchange(done_, nullptr);
  if (done) done(std::move(result));  // May destroy us.
}

}  // namespace mobula::raylet

#include "core/raylet/oom_watch.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "core/os/cgroup.h"

namespace mobula::raylet {
namespace {

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

OomWatch::OomWatch(std::string root) : root_(std::move(root)) {
  if (const auto now = os::read_oom_kills(root_)) known_ = seen_ = now->kills;
}

void OomWatch::look() {
  const auto now = os::read_oom_kills(root_);
  if (!now) return;
  known_ = std::max(known_, seen_);
  seen_ = now->kills;
}

void OomWatch::explain(os::ExitStatus status, proto::ExitCause& cause) {
  if (!status.signaled || status.code != SIGKILL) return;
  const auto now = os::read_oom_kills(root_);
  if (!now || now->kills <= known_) return;
  ++known_;
  cause.set_kind(proto::ExitCause::OUT_OF_MEMORY);
  std::string text = cause.text() + ": the kernel's OOM killer took it";
  if (status.most_resident_kib > 0) {
    text += " with " + mib(static_cast<std::uint64_t>(status.most_resident_kib) << 10) + " resident at most";
  }
  if (now->limit_bytes) text += ", where the memory limit is " + mib(*now->limit_bytes);
  if (now->most_used_bytes) text += ", of which " + mib(*now->most_used_bytes) + " were in use at most";
  if (now->limit_hits) text += ", hit " + std::to_string(*now->limit_hits) + " times";
  text += " (" + std::to_string(now->kills) + " kills counted in " + now->source + ")";
  cause.set_text(std::move(text));
  cause.set_remedy(
      "hold less at once, run fewer tasks side by side (.with({.cpus = n}) or .with({.memory = bytes})), or give the "
      "job "
      "more memory");
}

}  // namespace mobula::raylet

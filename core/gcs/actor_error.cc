#include "core/gcs/actor_error.h"

#include <string>

namespace mobula::gcs {
namespace {

using base::ErrorInfo;
using base::ErrorKind;
using scheduler::ActorEnd;

// The constructor's own error, seen from a caller of the actor.
ErrorInfo from_constructor(const scheduler::ActorView& view, const std::string& who) {
  const auto thrown = base::decode_error_info(base::as_bytes(view.cause));
  ErrorInfo out = thrown.value_or(ErrorInfo{});
  out.kind = ErrorKind::kActorDied;
  out.cause = out.what;
  out.what = who + " could not be constructed: " + (out.what.empty() ? view.cause : out.what);
  return out;
}

// The worker's end as its raylet saw it; other causes are sentences.
void add_worker_end(const std::string& cause, ErrorInfo& out) {
  proto::ExitCause exit;
  if (!exit.ParseFromString(cause) || exit.text().empty()) {
    out.cause = cause;
    return;
  }
  out.cause = exit.text();
  if (exit.kind() == proto::ExitCause::OUT_OF_MEMORY) out.kind = ErrorKind::kOutOfMemory;
  out.remedy = exit.remedy();
  for (const auto& line : exit.last_lines()) out.evidence.push_back("it wrote: " + line);
}

}  // namespace

ErrorInfo actor_error(const scheduler::ActorView& view, const proto::ActorSpec& spec, const std::string& nearest) {
  std::string who = "actor " + spec.class_name() + " " + view.actor.short_hex();
  if (!view.name.empty()) who += " (\"" + view.name + "\")";
  if (view.end == ActorEnd::kConstructorThrew) return from_constructor(view, who);
  ErrorInfo out;
  out.kind = ErrorKind::kActorDied;
  switch (view.end) {
    case ActorEnd::kUnschedulable:
      out.kind = ErrorKind::kUnschedulable;
      out.what = who + " can run on no node: " + view.cause;
      if (!nearest.empty()) out.evidence.push_back("nearest node: " + nearest);
      out.remedy = "ask for less, or start a node that has what is missing";
      return out;
    case ActorEnd::kStartFailed:
      out.kind = ErrorKind::kUnschedulable;
      add_worker_end(view.cause, out);
      out.what = who + " can run on no node: " + out.cause;
      out.evidence.push_back(view.evidence);
      return out;
    case ActorEnd::kKilled: out.what = who + " was killed"; break;
    case ActorEnd::kOutOfScope: out.what = who + " ended: its last handle was dropped"; break;
    case ActorEnd::kExited: out.what = who + " ended itself"; break;
    case ActorEnd::kOwnerDied: out.what = who + " ended because its owner died"; break;
    case ActorEnd::kJobEnded: out.what = who + " ended with its job"; break;
    default: out.what = who + " died"; break;
  }
  add_worker_end(view.cause, out);
  if (view.end == ActorEnd::kWorkerDied) {
    out.what += ": " + out.cause;
    out.evidence.push_back(
        "run " + std::to_string(view.incarnation + 1) + " of at most " +
        (spec.max_restarts() < 0 ? std::string("any number") : std::to_string(spec.max_restarts() + 1)));
    if (out.remedy.empty()) out.remedy = "max_restarts lets an actor come back after its worker died";
  }
  return out;
}

}  // namespace mobula::gcs

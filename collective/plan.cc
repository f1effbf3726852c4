#include "collective/plan.h"

namespace mobula::collective {
namespace {

const char* name_of(StepKind kind) {
  switch (kind) {
    case StepKind::kSend: return "send";
    case StepKind::kReceive: return "receive";
    case StepKind::kReceiveReduce: return "receive-reduce";
    case StepKind::kReceiveReduceFirst: return "receive-reduce-first";
    case StepKind::kCopy: return "copy";
    case StepKind::kReduce: return "reduce";
    case StepKind::kReduceFirst: return "reduce-first";
  }
  return "?";
}

std::string text(const Range& r) {
  const char* name = r.buffer == Buffer::kInput ? "in" : r.buffer == Buffer::kOutput ? "out" : "scratch";
  return std::string(name) + "[" + std::to_string(r.offset) + "+" + std::to_string(r.count) + "]";
}

}  // namespace

std::string Plan::to_string() const {
  std::string out = std::string(algorithm) + ", " + std::to_string(rounds()) + " rounds\n";
  std::size_t at = 0;
  for (std::size_t round = 0; round < rounds(); ++round) {
    out += "round " + std::to_string(round) + "\n";
    for (; at < round_ends[round]; ++at) {
      const Step& s = steps[at];
      out += std::string("  ") + name_of(s.kind);
      if (s.peer >= 0) out += " " + std::to_string(s.peer);
      const bool receives =
          s.kind == StepKind::kReceive || s.kind == StepKind::kReceiveReduce || s.kind == StepKind::kReceiveReduceFirst;
      if (!receives) out += " " + text(s.from);
      if (s.kind != StepKind::kSend) out += " -> " + text(s.to);
      out += "\n";
    }
  }
  return out;
}

}  // namespace mobula::collective

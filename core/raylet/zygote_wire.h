#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

#include "core/base/bytes.h"
#include "core/base/ids.h"

// What a raylet and its zygote say to each other: one fixed struct a packet, over a SOCK_SEQPACKET pair that nobody
// else can reach.
namespace mobula::raylet {

struct ZygoteRequest {
  enum class Kind : std::uint32_t {
    kFork = 1,  // With two descriptors: the worker's standard output and error.
    kKill,      // The process group of the worker `pid`.
  };
  Kind kind = Kind::kFork;
  std::int32_t pid = 0;
  std::uint64_t token = 0;
  base::WorkerId worker;
  base::JobId job;
};

struct ZygoteReport {
  enum class Kind : std::uint32_t {
    kHello = 1,   // pid: the zygote's; value: how many threads it has (1, or it cannot be used).
    kForked,      // pid of the worker asked for by `token`.
    kForkFailed,  // value: errno.
    kExited,      // pid; value: the status as waitpid gives it; token: the most KiB that it had resident.
                  // Its process group has been killed.
  };
  Kind kind = Kind::kHello;
  std::int32_t value = 0;
  std::int64_t pid = 0;
  std::uint64_t token = 0;
};

static_assert(std::is_trivially_copyable_v<ZygoteRequest> && sizeof(ZygoteRequest) == 72);
static_assert(std::is_trivially_copyable_v<ZygoteReport> && sizeof(ZygoteReport) == 24);

inline constexpr std::size_t kForkDescriptors = 2;

// A packet, or nullopt for what the other end never sends.  The zygote runs the user's program, and process groups are
// killed by the numbers that it tells: those of a process are above 1, since kill() takes others for many.
inline bool is_process(std::int64_t pid) { return pid > 1 && pid <= INT32_MAX; }

inline std::optional<ZygoteRequest> decode_request(base::ConstBytes packet) {
  ZygoteRequest request;
  if (packet.size() != sizeof request) return std::nullopt;
  std::memcpy(&request, packet.data(), sizeof request);
  const bool forks = request.kind == ZygoteRequest::Kind::kFork;
  if (!forks && (request.kind != ZygoteRequest::Kind::kKill || !is_process(request.pid))) return std::nullopt;
  return request;
}

inline std::optional<ZygoteReport> decode_report(base::ConstBytes packet) {
  ZygoteReport report;
  if (packet.size() != sizeof report) return std::nullopt;
  std::memcpy(&report, packet.data(), sizeof report);
  const auto kind = report.kind;
  if (kind < ZygoteReport::Kind::kHello || kind > ZygoteReport::Kind::kExited) return std::nullopt;
  if (kind != ZygoteReport::Kind::kForkFailed && !is_process(report.pid)) return std::nullopt;
  return report;
}

}  // namespace mobula::raylet

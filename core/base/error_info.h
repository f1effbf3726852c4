#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace mobula::base {

// The public error types, as they travel.  The numbers are part of the wire format.
enum class ErrorKind : std::uint8_t {
  kNone = 0,
  kTask = 1,  // The user's function threw.
  kWorkerDied = 2,
  kActorDied = 3,         // For good.
  kActorUnavailable = 4,  // For now; the call may or may not have run.
  kNodeDied = 5,
  kObjectLost = 6,
  kOwnerDied = 7,
  kOutOfMemory = 8,
  kObjectStoreFull = 9,
  kCancelled = 10,
  kTimeout = 11,
  kUnschedulable = 12,
  kPendingCallsLimit = 13,
  kCollective = 14,
  kInvalid = 15,      // A wrong argument or a call in the wrong state.
  kClusterDown = 16,  // The GCS or this node's raylet is gone.
};

// Which standard exception the user's function threw, so that it can be caught by that type again.
enum class StdException : std::uint8_t {
  kNone = 0,
  kException,
  kRuntimeError,
  kLogicError,
  kInvalidArgument,
  kDomainError,
  kLengthError,
  kOutOfRange,
  kRangeError,
  kOverflowError,
  kUnderflowError,
  kBadAlloc,
  kBadCast,
  kSystemError,
};

// An error with its evidence, as it travels between processes and lands in the user's exception.
struct ErrorInfo {
  ErrorKind kind = ErrorKind::kNone;
  StdException std_type = StdException::kNone;
  std::string what;      // The original text; one sentence.
  std::string type;      // Demangled type of what was thrown, if something was.
  std::string function;  // Demangled name of the user's function or method.
  std::string node;      // Host name and short node id.
  std::int64_t pid = 0;
  std::uint32_t attempt = 0;
  std::string stack;                  // One frame a line.
  std::string cause;                  // The error below this one, as text.
  std::vector<std::string> evidence;  // "exit code 3", "signal 11 (SIGSEGV)", "store 12 of 64 MiB used".
  std::string remedy;                 // What to do.
};

// Versioned binary form; decode checks every length and answers nullopt for anything malformed.
void encode(const ErrorInfo& info, Buffer& out);
std::optional<ErrorInfo> decode_error_info(ConstBytes bytes);

}  // namespace mobula::base

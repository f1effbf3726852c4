#include "mobula/errors.h"

#include <charconv>
#include <cstdlib>

#include "core/worker/function_table.h"
#include "mobula/mpi.h"

namespace mobula {

using base::ErrorInfo;
using base::StdException;

namespace {

constexpr std::string_view kMpiErrorType = "mobula::MpiError";  // As core/api/mpi.cc writes it.

// How a std::error_code lies in the evidence: "error code CATEGORY:VALUE".
constexpr std::string_view kCodePrefix = "error code ";

std::error_code code_of(const ErrorInfo& info) {
  for (const std::string_view line : info.evidence) {
    if (!line.starts_with(kCodePrefix)) continue;
    const std::size_t colon = line.rfind(':');
    int value = 0;
    if (colon == line.npos) continue;
    std::from_chars(line.data() + colon + 1, line.data() + line.size(), value);
    const std::string_view category = line.substr(kCodePrefix.size(), colon - kCodePrefix.size());
    return {value, category == "system" ? std::system_category() : std::generic_category()};
  }
  return {};
}

const char* title_of(base::ErrorKind kind) {
  switch (kind) {
    case base::ErrorKind::kNone: return "Error";
    case base::ErrorKind::kTask: return "TaskError";
    case base::ErrorKind::kWorkerDied: return "WorkerDied";
    case base::ErrorKind::kActorDied: return "ActorDied";
    case base::ErrorKind::kActorUnavailable: return "ActorUnavailable";
    case base::ErrorKind::kNodeDied: return "NodeDied";
    case base::ErrorKind::kObjectLost: return "ObjectLost";
    case base::ErrorKind::kOwnerDied: return "OwnerDied";
    case base::ErrorKind::kOutOfMemory: return "OutOfMemory";
    case base::ErrorKind::kObjectStoreFull: return "ObjectStoreFull";
    case base::ErrorKind::kCancelled: return "Cancelled";
    case base::ErrorKind::kTimeout: return "Timeout";
    case base::ErrorKind::kUnschedulable: return "Unschedulable";
    case base::ErrorKind::kPendingCallsLimit: return "PendingCallsLimit";
    case base::ErrorKind::kCollective: return "CollectiveError";
    case base::ErrorKind::kInvalid: return "InvalidArgument";
    case base::ErrorKind::kClusterDown: return "ClusterDown";
  }
  return "Error";
}

std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.append("    ").append(text.substr(0, end)).append("\n");
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return out;
}

std::string where(const ErrorInfo& info) {
  std::string out = "  in " + (info.function.empty() ? std::string("a task") : info.function);
  if (!info.node.empty()) out += ", on node " + info.node;
  if (info.pid != 0) out += ", pid " + std::to_string(info.pid);
  if (info.attempt != 0) out += ", attempt " + std::to_string(info.attempt + 1);
  return out + "\n";
}

// The number after a word at the beginning of a line of evidence, as core/api/mpi.cc writes it.
std::optional<int> number_in(const std::vector<std::string>& evidence, std::string_view word) {
  for (const std::string_view line : evidence) {
    int value = 0;
    if (!line.starts_with(word)) continue;
    const auto [end, error] = std::from_chars(line.data() + word.size(), line.data() + line.size(), value);
    static_cast<void>(end);
    if (error == std::errc()) return value;
  }
  return std::nullopt;
}

[[noreturn]] void throw_task_error(std::shared_ptr<const ErrorInfo> info) {
  if (info->type == kMpiErrorType) throw MpiError(std::move(info));
  switch (info->std_type) {
    case StdException::kNone:
    case StdException::kException:
    case StdException::kRuntimeError: throw TaskErrorOf<std::runtime_error>(std::move(info));
    case StdException::kLogicError: throw TaskErrorOf<std::logic_error>(std::move(info));
    case StdException::kInvalidArgument: throw TaskErrorOf<std::invalid_argument>(std::move(info));
    case StdException::kDomainError: throw TaskErrorOf<std::domain_error>(std::move(info));
    case StdException::kLengthError: throw TaskErrorOf<std::length_error>(std::move(info));
    case StdException::kOutOfRange: throw TaskErrorOf<std::out_of_range>(std::move(info));
    case StdException::kRangeError: throw TaskErrorOf<std::range_error>(std::move(info));
    case StdException::kOverflowError: throw TaskErrorOf<std::overflow_error>(std::move(info));
    case StdException::kUnderflowError: throw TaskErrorOf<std::underflow_error>(std::move(info));
    case StdException::kBadAlloc: throw TaskErrorOf<std::bad_alloc>(std::move(info));
    case StdException::kBadCast: throw TaskErrorOf<std::bad_cast>(std::move(info));
    case StdException::kSystemError: throw TaskErrorOf<std::system_error>(std::move(info));
  }
  throw TaskErrorOf<std::runtime_error>(std::move(info));
}

}  // namespace

Error::~Error() = default;

std::string Error::report() const {
  const ErrorInfo& e = *info_;
  std::string out = std::string(e.type == kMpiErrorType ? "MpiError" : title_of(e.kind)) + ": " + e.what + "\n";
  if (!e.type.empty()) out += "  thrown as " + e.type + "\n";
  if (!e.function.empty() || !e.node.empty() || e.pid != 0) out += where(e);
  for (const std::string& line : e.evidence) out += "  " + line + "\n";
  if (!e.stack.empty()) out += "  thrown at\n" + indented(e.stack);
  if (!e.cause.empty()) out += "  because of\n" + indented(e.cause);
  if (!e.remedy.empty()) out += "  what to do: " + e.remedy + "\n";
  return out;
}

std::vector<int> CollectiveError::dead_ranks() const {
  constexpr std::string_view kPrefix = "dead ranks:";  // As core/worker/collectives.cc writes it.
  std::vector<int> out;
  for (std::string_view line : evidence()) {
    if (!line.starts_with(kPrefix)) continue;
    line.remove_prefix(kPrefix.size());
    while (!line.empty()) {
      line.remove_prefix(1);
      int rank = 0;
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), rank);
      if (error != std::errc()) break;
      out.push_back(rank);
      line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    }
  }
  return out;
}

std::optional<int> MpiError::exit_code() const { return number_in(evidence(), "exit code "); }
std::optional<int> MpiError::signal() const { return number_in(evidence(), "signal "); }
std::optional<int> MpiError::rank() const { return number_in(evidence(), "rank "); }

namespace detail {

template <>
std::system_error make_std(const ErrorInfo& info) {
  return std::system_error(code_of(info), info.what);
}

void throw_error(const ErrorInfo& from) {
  auto info = std::make_shared<const ErrorInfo>(from);
  switch (info->kind) {
    case ErrorKind::kNone:
    case ErrorKind::kTask: throw_task_error(std::move(info));
    case ErrorKind::kWorkerDied: throw WorkerDied(std::move(info));
    case ErrorKind::kActorDied: throw ActorDied(std::move(info));
    case ErrorKind::kActorUnavailable: throw ActorUnavailable(std::move(info));
    case ErrorKind::kNodeDied: throw NodeDied(std::move(info));
    case ErrorKind::kObjectLost: throw ObjectLost(std::move(info));
    case ErrorKind::kOwnerDied: throw OwnerDied(std::move(info));
    case ErrorKind::kOutOfMemory: throw OutOfMemory(std::move(info));
    case ErrorKind::kObjectStoreFull: throw ObjectStoreFull(std::move(info));
    case ErrorKind::kCancelled: throw Cancelled(std::move(info));
    case ErrorKind::kTimeout: throw Timeout(std::move(info));
    case ErrorKind::kUnschedulable: throw Unschedulable(std::move(info));
    case ErrorKind::kPendingCallsLimit: throw PendingCallsLimit(std::move(info));
    case ErrorKind::kCollective: throw CollectiveError(std::move(info));
    case ErrorKind::kInvalid: throw InvalidArgument(std::move(info));
    case ErrorKind::kClusterDown: throw ClusterDown(std::move(info));
  }
  throw_task_error(std::move(info));
}

void throw_error(const base::Error& error) {
  ErrorInfo info;
  info.what = error.what;
  switch (error.code) {
    case base::Code::kInvalid:
    case base::Code::kNotFound:
    case base::Code::kDenied:
    case base::Code::kAborted: info.kind = ErrorKind::kInvalid; break;
    case base::Code::kExhausted:
      info.kind = ErrorKind::kObjectStoreFull;
      info.remedy =
          "use a smaller value, drop references that are not needed, or give the store more: MOBULA_STORE_BYTES";
      break;
    case base::Code::kUnavailable: info.kind = ErrorKind::kClusterDown; break;
    case base::Code::kLost: info.kind = ErrorKind::kObjectLost; break;
    case base::Code::kCancelled: info.kind = ErrorKind::kCancelled; break;
    case base::Code::kDeadline: info.kind = ErrorKind::kTimeout; break;
  }
  throw_error(info);
}

void throw_invalid(std::string what, std::string remedy) {
  ErrorInfo info;
  info.kind = ErrorKind::kInvalid;
  info.what = std::move(what);
  info.remedy = std::move(remedy);
  throw_error(info);
}

void throw_undecodable(const std::type_info& type) {
  throw_invalid("the bytes of this object are not a value of type " + runtime::demangle(type.name()),
                "check that both sides use the same type, and that its serialize() reads what it writes");
}

std::shared_ptr<const ErrorInfo> timeout_info(std::chrono::nanoseconds waited, std::size_t settled,
                                              std::size_t wanted) {
  auto info = std::make_shared<ErrorInfo>();
  info->kind = ErrorKind::kTimeout;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  info->what = "no value after " + std::to_string(ms) + " ms";
  if (wanted > 1) info->what += ": " + std::to_string(settled) + " of " + std::to_string(wanted) + " were here";
  info->remedy = "wait longer, or see with `mobula status` what the task waits for";
  return info;
}

}  // namespace detail
}  // namespace mobula

#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <vector>

#include "core/base/error_info.h"
#include "core/base/result.h"

// What get() throws.
//
// Every exception of Mobula is an Error (catch (const mobula::Error&)), and derives from exactly one standard
// exception (catch (const std::exception&)).  A standard exception thrown by a task can be caught as what it was
// (catch (const std::out_of_range&)) and as TaskError.
namespace mobula {

using ErrorKind = base::ErrorKind;

// What happened, with its evidence.  Copies share; lives as long as any copy.
class Error {
 public:
  virtual ~Error();

  // The original text, one sentence.
  virtual const char* what() const noexcept { return info_->what.c_str(); }
  // Everything: what, where, the remote stack, the cause, the numbers, and what to do.
  std::string report() const;

  ErrorKind kind() const { return info_->kind; }
  const std::string& function() const { return info_->function; }  // The user's function; empty if none ran.
  const std::string& type() const { return info_->type; }          // Of what was thrown, demangled.
  const std::string& node() const { return info_->node; }
  std::int64_t pid() const { return info_->pid; }
  std::uint32_t attempt() const { return info_->attempt; }
  const std::string& stack() const { return info_->stack; }  // One frame a line.
  const std::string& cause() const { return info_->cause; }
  const std::vector<std::string>& evidence() const { return info_->evidence; }
  const std::string& remedy() const { return info_->remedy; }
  const base::ErrorInfo& info() const { return *info_; }

 protected:
  explicit Error(std::shared_ptr<const base::ErrorInfo> info) : info_(std::move(info)) {}
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;

 private:
  std::shared_ptr<const base::ErrorInfo> info_;
};

// A task or a method threw.  What is thrown is a TaskErrorOf.
class TaskError : public Error {
 protected:
  using Error::Error;
};

namespace detail {
template <class Std>
Std make_std(const base::ErrorInfo& info) {
  if constexpr (std::is_constructible_v<Std, const std::string&>) {
    return Std(info.what);
  } else {
    return Std();
  }
}
template <>
std::system_error make_std(const base::ErrorInfo& info);  // With the code that was thrown.

// An error type that is also the standard exception `Std`.
template <class Base, class Std>
class ErrorOf : public Base, public Std {
 public:
  explicit ErrorOf(std::shared_ptr<const base::ErrorInfo> info) : Base(info), Std(make_std<Std>(*info)) {}
  const char* what() const noexcept override { return Error::what(); }
};
}  // namespace detail

// TaskErrorOf<std::runtime_error> stands for all that is not a standard exception, too.
template <class Std>
class TaskErrorOf final : public detail::ErrorOf<TaskError, Std> {
 public:
  using detail::ErrorOf<TaskError, Std>::ErrorOf;
};

// The process that ran the task ended: a signal, exit(), or somebody killed it.
class WorkerDied final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// The actor is gone for good: killed, its constructor threw, or its restarts are used up.
class ActorDied final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// The actor cannot be reached now; the call may or may not have run.
class ActorUnavailable final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
class NodeDied final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// No copy is left and it could not be made again.
class ObjectLost final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// The process that owned the object ended, and with it the object.
class OwnerDied final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
class OutOfMemory final : public detail::ErrorOf<Error, std::bad_alloc> {
  using ErrorOf::ErrorOf;
};
class ObjectStoreFull final : public detail::ErrorOf<Error, std::bad_alloc> {
  using ErrorOf::ErrorOf;
};
class Cancelled final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
class Timeout final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// No node could ever serve the request.
class Unschedulable final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
class PendingCallsLimit final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};
// A member of the group has died or hangs, or the calls of its members do not fit each other.
class CollectiveError final : public detail::ErrorOf<Error, std::runtime_error> {
 public:
  using ErrorOf::ErrorOf;
  std::vector<int> dead_ranks() const;  // Empty when nobody is known to be dead.
};
// A wrong argument, or a call in the wrong state.
class InvalidArgument final : public detail::ErrorOf<Error, std::invalid_argument> {
  using ErrorOf::ErrorOf;
};
// The GCS or this node's raylet is gone, and the cluster with it.
class ClusterDown final : public detail::ErrorOf<Error, std::runtime_error> {
  using ErrorOf::ErrorOf;
};

namespace detail {
// Throws the type that stands for info.kind.
[[noreturn]] void throw_error(const base::ErrorInfo& info);
[[noreturn]] void throw_error(const base::Error& error);
[[noreturn]] void throw_invalid(std::string what, std::string remedy = {});
// What could not be decoded, and as what.
[[noreturn]] void throw_undecodable(const std::type_info& type);
std::shared_ptr<const base::ErrorInfo> timeout_info(std::chrono::nanoseconds waited, std::size_t settled,
                                                    std::size_t wanted);

// The exception being handled, as it travels.  `function` is the user's function that it left.
base::ErrorInfo capture_current_exception(std::string function);
// While one lives, each throw on this thread notes its stack; captured errors then show where they were thrown.
class ThrowRecorder {
 public:
  ThrowRecorder();
  ~ThrowRecorder();
  ThrowRecorder(const ThrowRecorder&) = delete;
  ThrowRecorder& operator=(const ThrowRecorder&) = delete;
};
}  // namespace detail

// A failure that was not thrown: an Error to look at, or to throw after all.
class Failure final : public Error {
 public:
  explicit Failure(std::shared_ptr<const base::ErrorInfo> info) : Error(std::move(info)) {}
  [[noreturn]] void raise() const { detail::throw_error(info()); }
};

// What try_get() returns: a value or a Failure.
template <class T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : value_(std::move(value)) {}
  Expected(Failure failure) : failure_(std::move(failure)) {}

  bool has_value() const { return value_.has_value(); }
  explicit operator bool() const { return has_value(); }
  // Throws what get() would have thrown when there is no value.
  const T& value() const& { return check(), *value_; }
  T value() && { return check(), std::move(*value_); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  const T* operator->() const { return &value(); }
  T value_or(T other) const { return value_ ? *value_ : std::move(other); }
  const Failure& error() const { return failure_.value(); }  // REQUIRES: !has_value().

 private:
  void check() const {
    if (!value_) failure_->raise();
  }
  std::optional<T> value_;
  std::optional<Failure> failure_;
};

template <>
class [[nodiscard]] Expected<void> {
 public:
  Expected() = default;
  Expected(Failure failure) : failure_(std::move(failure)) {}

  bool has_value() const { return !failure_; }
  explicit operator bool() const { return has_value(); }
  void value() const {
    if (failure_) failure_->raise();
  }
  const Failure& error() const { return failure_.value(); }  // REQUIRES: !has_value().

 private:
  std::optional<Failure> failure_;
};

}  // namespace mobula

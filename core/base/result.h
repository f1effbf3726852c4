#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace mobula::base {

// Why an operation failed, named by what the caller can do about it.
enum class Code : unsigned char {
  kInvalid = 1,  // The request is wrong; fix the caller.
  kNotFound,     // No such object, actor or node, now.
  kExhausted,    // No room; back off or spill.
  kUnavailable,  // The peer or link is gone for now; retry this call.
  kAborted,      // State moved underneath; redo the enclosing operation.
  kLost,         // The data or actor is gone for good; reconstruct or report.
  kCancelled,    // The owner asked for this.
  kDeadline,     // Too late; the operation may still have happened.
  kDenied,       // Who asks does not belong here.
};

const char* name_of(Code code);

struct Error {
  Code code = Code::kInvalid;
  std::string what;  // One sentence for a person, with the ids and numbers involved.
};

// A value or the Error that prevented it.  Must be looked at.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& operator*() & {
    assert(ok());
    return *value_;
  }
  const T& operator*() const& {
    assert(ok());
    return *value_;
  }
  T&& operator*() && {
    assert(ok());
    return std::move(*value_);
  }
  T* operator->() {
    assert(ok());
    return &*value_;
  }
  const T* operator->() const {
    assert(ok());
    return &*value_;
  }

  // REQUIRES: !ok()
  const Error& error() const {
    assert(!ok());
    return error_;
  }

 private:
  std::optional<T> value_;
  Error error_{};
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    assert(!ok());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace mobula::base

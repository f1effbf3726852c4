#include "core/os/error.h"

#include <cerrno>
#include <system_error>

namespace mobula::os {
namespace {

base::Code code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH:
    case ENODEV: return base::Code::kNotFound;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case EFBIG: return base::Code::kExhausted;
    case EACCES:
    case EPERM:
    case ELOOP: return base::Code::kDenied;
    case EAGAIN:
    case EINTR:
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EADDRINUSE: return base::Code::kUnavailable;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN: return base::Code::kLost;
    default: return base::Code::kInvalid;
  }
}

}  // namespace

base::Error error_from_errno(int error_number, std::string what) {
  what += ": ";
  what += std::generic_category().message(error_number);
  return {code_of(error_number), std::move(what)};
}

}  // namespace mobula::os

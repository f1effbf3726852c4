#pragma once

#include <string>

#include "core/base/result.h"

namespace mobula::os {

// The Error for a system call that failed with `error_number`: "what: the system's text", and the code
// that says what the caller can do (kExhausted for no memory, descriptors or disk; kDenied for
// permissions; kUnavailable for what may work later; kLost for a connection that broke).
base::Error error_from_errno(int error_number, std::string what);

}  // namespace mobula::os

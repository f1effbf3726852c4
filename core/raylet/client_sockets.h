#pragma once

#include <string>

#include "core/base/proto/control.pb.h"

namespace mobula::raylet {

// Removes the sockets of a process that is dead, and could not do it itself, from the session's directory.
void remove_sockets(const proto::Address& of, const std::string& session_directory);

}  // namespace mobula::raylet

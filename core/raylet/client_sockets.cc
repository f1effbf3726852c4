#include "core/raylet/client_sockets.h"

#include <unistd.h>

namespace mobula::raylet {

void remove_sockets(const proto::Address& of, const std::string& session_directory) {
  const std::string place = "unix:" + session_directory + "/";
  for (const std::string& address : {of.shm(), of.sock(), of.ucx()}) {
    if (address.compare(0, place.size(), place) != 0) continue;
    const std::string name = address.substr(place.size(), address.find('?') - place.size());
    // Whatever it has said: no other directory, and nothing but a process's own.
    const bool is_own = name.starts_with("shm-") || name.starts_with("t") || name.starts_with("ucx-");
    if (is_own && name.find('/') == std::string::npos) ::unlink((session_directory + "/" + name).c_str());
  }
}

}  // namespace mobula::raylet

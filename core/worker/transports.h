#pragma once

#include <string>

#include "core/base/ids.h"
#include "core/base/result.h"
#include "core/os/secret.h"
#include "core/worker/links.h"

namespace mobula::runtime {

struct TransportChoice {
  std::string node_link;  // MOBULA_NODE_LINK; empty: auto.
  std::string interface;  // Where to listen, when the cluster spans hosts; empty: this host alone.
  std::string session_directory;
};

// How this process proves to others who it is.
transport::Credentials credentials_of(const base::WorkerId& worker, const std::string& role, const os::Secret& secret);

// Opens the transports that this process needs, gives them to `links`, and adds their addresses to links.self().
base::Result<void> open_transports(Links& links, const TransportChoice& choice,
                                   const transport::Credentials& credentials);

}  // namespace mobula::runtime

#include "core/worker/transports.h"

#include <cstring>
#include <utility>

#include "transport/module.h"
#include "transport/shm/shm.h"
#include "transport/sock/sock.h"

namespace mobula::runtime {

transport::Credentials credentials_of(const base::WorkerId& worker, const std::string& role, const os::Secret& secret) {
  transport::Credentials credentials;
  std::memcpy(credentials.key.data(), secret.view().data(), credentials.key.size());
  credentials.self = {worker, 0, role};
  return credentials;
}

base::Result<void> open_transports(Links& links, const TransportChoice& choice,
                                   const transport::Credentials& credentials) {
  const std::string& link = choice.node_link;
  transport::WorkerOptions w;
  w.credentials = credentials;
  w.socket_directory = choice.session_directory;
  const bool several_hosts = !choice.interface.empty();
  if (several_hosts) w.interface = choice.interface;
  ProcessAddress self = links.self();
  auto shm = transport::shm::make_shm_worker(w, links);
  if (!shm) return shm.error();
  self.shm = (*shm)->address();
  links.use_shm(std::move(*shm));
  if (link == "sock" || (several_hosts && link != "shm")) {
    auto sock = transport::sock::make_sock_worker(w, links);
    if (!sock) return sock.error();
    self.sock = (*sock)->address();
    links.use_sock(std::move(*sock));
  }
  // RDMA only between hosts, and only where the hardware is, unless somebody asks for it by name.
  const bool rdma =
      link == "ucx" || (several_hosts && (link.empty() || link == "auto") && transport::has_rdma_device());
  if (rdma) {
    auto ucx = transport::load_ucx_worker(
        w, links, several_hosts ? transport::ModuleListen::kTcp : transport::ModuleListen::kUnix);
    if (!ucx) return ucx.error();
    self.ucx = (*ucx)->address();
    links.use_ucx(std::move(*ucx));
  }
  links.set_self(self);
  return {};
}

}  // namespace mobula::runtime

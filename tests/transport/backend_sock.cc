#include "tests/transport/backend.h"
#include "transport/sock/sock.h"

namespace mobula::test {
namespace {

using transport::sock::SockOptions;

template <SockOptions::Listen kListen>
class SockFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    SockOptions sock;
    sock.listen = kListen;
    return transport::sock::make_sock_worker(options, inbox, sock);
  }
  std::vector<std::string> listeners(const transport::Worker& worker) const override { return {worker.address()}; }

  static std::unique_ptr<Fabric> make() { return std::make_unique<SockFabric>(); }
};

}  // namespace

Backends backends() {
  return {{{"sock_tcp", {}, &SockFabric<SockOptions::Listen::kTcp>::make},
           {"sock_unix", {}, &SockFabric<SockOptions::Listen::kUnix>::make}},
          ""};
}

}  // namespace mobula::test

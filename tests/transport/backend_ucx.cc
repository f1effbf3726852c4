#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/transport/backend.h"
#include "transport/ucx/ucx.h"

namespace mobula::test {
namespace {

using transport::UcxOptions;

// The transports are given by name, as MOBULA_UCX_TLS gives them.
struct Posix {
  static constexpr const char* kTransports = "posix,self";
  static constexpr bool kDevices = false;
  static constexpr UcxOptions::Listen kListen = UcxOptions::Listen::kUnix;
};
struct Tcp {
  static constexpr const char* kTransports = "tcp,self";
  static constexpr bool kDevices = false;
  static constexpr UcxOptions::Listen kListen = UcxOptions::Listen::kTcp;
};
struct Verbs {
  static constexpr const char* kTransports = "rc_verbs,ud_verbs:aux,self";
  static constexpr bool kDevices = true;
  static constexpr UcxOptions::Listen kListen = UcxOptions::Listen::kTcp;
};

// Workers take turns, so that what they say goes from one device to another.
std::string next_device() {
  static std::size_t turn = 0;
  std::vector<std::string> devices = transport::rdma_devices();
  std::sort(devices.begin(), devices.end());
  return devices[turn++ % devices.size()] + ":1";
}

template <class Config>
class UcxFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    UcxOptions ucx;
    ucx.transports = Config::kTransports;
    ucx.listen = Config::kListen;
    if (Config::kDevices) ucx.net_devices = next_device();
    auto worker = transport::make_ucx_worker(options, inbox, ucx);
    if (!worker) return worker.error();
    return std::unique_ptr<transport::Worker>(*std::move(worker));
  }
  std::vector<std::string> listeners(const transport::Worker& worker) const override { return {worker.address()}; }

  static std::unique_ptr<Fabric> make() { return std::make_unique<UcxFabric>(); }
};

}  // namespace

// Over RDMA where the machine has it (tests/rdma brings an emulated one), else over what UCX can do here.
Backends backends() {
  if (!transport::rdma_devices().empty()) {
    Traits traits;
    if (std::getenv("MOBULA_TEST_EMULATED") != nullptr) {
      traits.large_bytes = 4u << 20;
      traits.many_peers = 4;  // All must start within the two seconds of a handshake.
    }
    return {{{"ucx_verbs", traits, &UcxFabric<Verbs>::make}}, ""};
  }
  Traits fewer;
  fewer.many_peers = 16;
  return {{{"ucx_posix", {}, &UcxFabric<Posix>::make}, {"ucx_tcp", fewer, &UcxFabric<Tcp>::make}}, ""};
}

}  // namespace mobula::test

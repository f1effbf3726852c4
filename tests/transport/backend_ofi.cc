#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/transport/backend.h"
#include "transport/ofi/ofi.h"

namespace mobula::test {
namespace {

using transport::OfiOptions;

struct Shm {
  static constexpr const char* kProvider = "shm";
  static constexpr OfiOptions::Listen kListen = OfiOptions::Listen::kUnix;
};
struct Tcp {
  static constexpr const char* kProvider = "tcp;ofi_rxm";
  static constexpr OfiOptions::Listen kListen = OfiOptions::Listen::kTcp;
};
struct Verbs {
  static constexpr const char* kProvider = "verbs;ofi_rxm";
  static constexpr OfiOptions::Listen kListen = OfiOptions::Listen::kTcp;
};

// Workers take turns, so that what they say goes from one device to another.  These are the addresses of tests/rdma.
std::string next_source() {
  static int turn = 0;
  return turn++ % 2 == 0 ? "10.78.0.1" : "10.78.0.2";
}

template <class Config>
class OfiFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    OfiOptions ofi;
    ofi.provider = Config::kProvider;
    ofi.listen = Config::kListen;
    // shm answers a stale key with silence.
    if (ofi.provider == "shm") ofi.access_stall_max = std::chrono::seconds(2);
    if (ofi.provider.starts_with("verbs")) ofi.source = next_source();
    auto worker = transport::make_ofi_worker(options, inbox, ofi);
    if (!worker) return worker.error();
    return std::unique_ptr<transport::Worker>(*std::move(worker));
  }
  std::vector<std::string> listeners(const transport::Worker& worker) const override { return {worker.address()}; }

  // A process that was killed leaves what shm had named in /dev/shm: "PID:UID:NUMBER".
  ~OfiFabric() override {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", error)) {
      const std::string name = entry.path().filename().string();
      int pid = 0;
      int fields[2] = {};
      int read = 0;
      const bool named = std::sscanf(name.c_str(), "%d:%d:%d%n", &pid, &fields[0], &fields[1], &read) == 3;
      if (named && name.size() == static_cast<std::size_t>(read) && ::kill(pid, 0) != 0 && errno == ESRCH) {
        std::filesystem::remove(entry.path(), error);
      }
    }
  }

  static std::unique_ptr<Fabric> make() { return std::make_unique<OfiFabric>(); }
};

}  // namespace

// Over RDMA in the emulated machine of tests/rdma, else over the providers that every machine has.
Backends backends() {
  if (std::getenv("MOBULA_TEST_EMULATED") != nullptr) {
    Traits traits;
    traits.large_bytes = 4u << 20;
    traits.many_peers = 4;
    return {{{"ofi_verbs", traits, &OfiFabric<Verbs>::make}}, ""};
  }
  Traits fewer;
  fewer.many_peers = 8;  // All must start within the two seconds of a handshake.
  return {{{"ofi_tcp", fewer, &OfiFabric<Tcp>::make}, {"ofi_shm", fewer, &OfiFabric<Shm>::make}}, ""};
}

}  // namespace mobula::test

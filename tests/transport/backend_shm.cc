#include "tests/transport/backend.h"
#include "transport/shm/shm.h"

namespace mobula::test {
namespace {

// With and without leave to copy between processes through the kernel, which many systems refuse.
template <bool kProcessVm>
class ShmFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    return transport::shm::make_shm_worker(options, inbox, {.process_vm = kProcessVm});
  }
  std::vector<std::string> listeners(const transport::Worker& worker) const override {
    return {worker.address().substr(0, worker.address().rfind('?'))};
  }
};

template <bool kProcessVm>
std::unique_ptr<Fabric> make() {
  return std::make_unique<ShmFabric<kProcessVm>>();
}

}  // namespace

Backends backends() { return {{{"shm", {}, &make<true>}, {"shm_without_process_vm", {}, &make<false>}}, ""}; }

}  // namespace mobula::test

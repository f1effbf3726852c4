#include "transport/module.h"

#include <utility>

#include "transport/ofi/ofi.h"

extern "C" __attribute__((visibility("default"))) void mobula_ofi_worker_v1(
    const mobula::transport::WorkerOptions& options, mobula::transport::Inbox& inbox,
    mobula::transport::ModuleListen listen, mobula::base::Result<std::unique_ptr<mobula::transport::Worker>>& result) {
  using namespace mobula::transport;
  OfiOptions ofi = ofi_options_from_environment();
  ofi.listen = listen == ModuleListen::kTcp ? OfiOptions::Listen::kTcp : OfiOptions::Listen::kUnix;
  auto worker = make_ofi_worker(options, inbox, ofi);
  if (!worker) {
    result = worker.error();
  } else {
    result = std::unique_ptr<Worker>(std::move(*worker));
  }
}

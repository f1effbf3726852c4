#include "transport/module.h"

#include <utility>

#include "transport/ucx/ucx.h"

extern "C" __attribute__((visibility("default"))) void mobula_ucx_worker_v1(
    const mobula::transport::WorkerOptions& options, mobula::transport::Inbox& inbox,
    mobula::transport::ModuleListen listen, mobula::base::Result<std::unique_ptr<mobula::transport::Worker>>& result) {
  using namespace mobula::transport;
  UcxOptions ucx = ucx_options_from_environment();
  ucx.listen = listen == ModuleListen::kTcp ? UcxOptions::Listen::kTcp : UcxOptions::Listen::kUnix;
  auto worker = make_ucx_worker(options, inbox, ucx);
  if (!worker) {
    result = worker.error();
  } else {
    result = std::unique_ptr<Worker>(std::move(*worker));
  }
}

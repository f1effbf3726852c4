#include "transport/module.h"

#include <dirent.h>
#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace mobula::transport {
namespace {

using base::Code;
using base::Error;

struct Module {
  const char* file;
  const char* symbol;
};

// Loaded once and never closed: the libraries leave threads and handlers behind.
Result<WorkerFactory> load(const Module& wanted) {
  std::string tried;
  const char* own = std::getenv("MOBULA_MODULES");
  for (const std::string& folder : {std::string(own == nullptr ? "" : own), std::string(MOBULA_MODULES_BUILT),
                                    std::string(MOBULA_MODULES_INSTALLED)}) {
    if (folder.empty()) continue;
    void* module = ::dlopen((folder + "/" + wanted.file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
      tried += std::string(tried.empty() ? "" : "; ") + ::dlerror();
      continue;
    }
    if (void* symbol = ::dlsym(module, wanted.symbol)) return reinterpret_cast<WorkerFactory>(symbol);
    tried += folder + ": of another version; ";
  }
  return Error{Code::kUnavailable, std::string("the module ") + wanted.file + " cannot be loaded: " + tried};
}

Result<std::unique_ptr<Worker>> make(const Result<WorkerFactory>& factory, const WorkerOptions& options, Inbox& inbox,
                                     ModuleListen listen) {
  if (!factory) return factory.error();
  Result<std::unique_ptr<Worker>> result = Error{Code::kUnavailable, "the module answered nothing"};
  (*factory)(options, inbox, listen, result);
  return result;
}

}  // namespace

Result<std::unique_ptr<Worker>> load_ucx_worker(const WorkerOptions& options, Inbox& inbox, ModuleListen listen) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  static const Result<WorkerFactory> factory = [] {
    ::setenv("UCX_ERROR_SIGNALS", "", 0);  // Signals are the program's.
    return load({"libmobula_ucx.so", "mobula_ucx_worker_v1"});
  }();
  return make(factory, options, inbox, listen);
}

Result<std::unique_ptr<Worker>> load_ofi_worker(const WorkerOptions& options, Inbox& inbox, ModuleListen listen) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  static const Result<WorkerFactory> factory = load({"libmobula_ofi.so", "mobula_ofi_worker_v1"});
  return make(factory, options, inbox, listen);
}

bool has_rdma_device() {
  DIR* devices = ::opendir("/sys/class/infiniband");
  if (devices == nullptr) return false;
  bool found = false;
  while (const dirent* entry = ::readdir(devices)) found = found || entry->d_name[0] != '.';
  ::closedir(devices);
  return found;
}

}  // namespace mobula::transport

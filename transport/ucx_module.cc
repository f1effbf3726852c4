#include "transport/ucx_module.h"

#include <dirent.h>
#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <string>

namespace mobula::transport {
namespace {

using base::Code;
using base::Error;

constexpr const char* kModule = "libmobula_ucx.so";

// Loaded once and never closed: UCX leaves threads and handlers behind.
Result<UcxWorkerFactory> load() {
  ::setenv("UCX_ERROR_SIGNALS", "", 0);  // Signals are the program's.
  std::string tried;
  const char* own = std::getenv("MOBULA_MODULES");
  for (const std::string& folder : {std::string(own == nullptr ? "" : own), std::string(MOBULA_MODULES_BUILT),
                                    std::string(MOBULA_MODULES_INSTALLED)}) {
    if (folder.empty()) continue;
    void* module = ::dlopen((folder + "/" + kModule).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
      tried += std::string(tried.empty() ? "" : "; ") + ::dlerror();
      continue;
    }
    if (void* symbol = ::dlsym(module, "mobula_ucx_worker_v1")) return reinterpret_cast<UcxWorkerFactory>(symbol);
    tried += folder + ": of another version; ";
  }
  return Error{Code::kUnavailable, "the UCX module cannot be loaded: " + tried};
}

}  // namespace

Result<std::unique_ptr<Worker>> load_ucx_worker(const WorkerOptions& options, Inbox& inbox, UcxListen listen) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  static const Result<UcxWorkerFactory> factory = load();
  if (!factory) return factory.error();
  Result<std::unique_ptr<Worker>> result = Error{Code::kUnavailable, "the UCX module answered nothing"};
  (*factory)(options, inbox, listen, result);
  return result;
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

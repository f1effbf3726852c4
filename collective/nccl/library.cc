#include "collective/nccl/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <string>

namespace mobula::collective::nccl {
namespace {

using base::Code;
using base::Error;

constexpr int kOldest = 21400;  // Communicators that do not block.

template <class Function>
bool find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(::dlsym(library, name));
  return out != nullptr;
}

}  // namespace

base::Result<Library> load(const char* file) {
  // It would listen on a port for its RAS tool, which nobody has allowed.
  ::setenv("NCCL_RAS_ENABLE", "0", 0);
  void* library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Error{Code::kUnavailable, std::string("NCCL cannot be loaded: ") + ::dlerror() +
                                         "; install it (Debian: libnccl2), or name its file in MOBULA_NCCL"};
  }
  Library out;
  const bool whole =
      find(library, "ncclGetVersion", out.get_version) && find(library, "ncclGetUniqueId", out.get_unique_id) &&
      find(library, "ncclCommInitRankConfig", out.comm_init_rank_config) &&
      find(library, "ncclCommGetAsyncError", out.comm_get_async_error) &&
      find(library, "ncclCommFinalize", out.comm_finalize) && find(library, "ncclCommDestroy", out.comm_destroy) &&
      find(library, "ncclCommAbort", out.comm_abort) && find(library, "ncclGetErrorString", out.get_error_string) &&
      find(library, "ncclGetLastError", out.get_last_error) && find(library, "ncclGroupStart", out.group_start) &&
      find(library, "ncclGroupEnd", out.group_end) && find(library, "ncclAllReduce", out.all_reduce) &&
      find(library, "ncclReduce", out.reduce) && find(library, "ncclBroadcast", out.broadcast) &&
      find(library, "ncclAllGather", out.all_gather) && find(library, "ncclReduceScatter", out.reduce_scatter) &&
      find(library, "ncclSend", out.send) && find(library, "ncclRecv", out.recv);
  const bool known = whole && out.get_version(&out.version) == kSuccess;
  if (!known || out.version < kOldest) {
    return Error{Code::kUnavailable, std::string(file) + " is NCCL " +
                                         (known ? std::to_string(out.version) : std::string("of no known version")) +
                                         ", and 2.14 is the first whose communicators do not block"};
  }
  if (!find(library, "ncclCommRegister", out.comm_register) ||
      !find(library, "ncclCommDeregister", out.comm_deregister))
    out.comm_register = nullptr;
  find(library, "ncclCommShrink", out.comm_shrink);
  find(library, "ncclCommRevoke", out.comm_revoke);
  return out;
}

base::Result<const Library*> Library::get() {
  static const base::Result<Library> library = [] {
    const char* file = std::getenv("MOBULA_NCCL");
    return load(file != nullptr && *file != '\0' ? file : "libnccl.so.2");
  }();
  if (!library) return library.error();
  return &*library;
}

}  // namespace mobula::collective::nccl

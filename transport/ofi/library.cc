#include "transport/ofi/library.h"

#include <dlfcn.h>
#include <rdma/fi_errno.h>

#include <cstdlib>

#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {
namespace {

using base::Code;
using base::Error;

template <class Function>
bool find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(::dlsym(library, name));
  return out != nullptr;
}

base::Result<Library> load() {
  // rxm fills a pool of 1,024 such buffers four times over when an endpoint opens: 70 MB with its own 16 KiB.
  ::setenv("FI_OFI_RXM_BUFFER_SIZE", std::to_string(kPacketBytesMax).c_str(), 0);
  void* library = ::dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Error{Code::kUnavailable, std::string("libfabric cannot be loaded: ") + ::dlerror()};
  Library out;
  const bool whole = find(library, "fi_getinfo", out.getinfo) && find(library, "fi_freeinfo", out.freeinfo) &&
                     find(library, "fi_dupinfo", out.dupinfo) && find(library, "fi_fabric", out.fabric) &&
                     find(library, "fi_strerror", out.strerror);
  if (!whole) return Error{Code::kUnavailable, "this libfabric.so.1 lacks functions that version 1.0 had"};
  return out;
}

}  // namespace

base::Result<const Library*> Library::get() {
  static const base::Result<Library> library = load();
  if (!library) return library.error();
  return &*library;
}

base::Error error_of(const std::string& what, std::int64_t error) {
  const int number = static_cast<int>(error < 0 ? -error : error);
  Code code = Code::kUnavailable;
  if (number == FI_ENOMEM) code = Code::kExhausted;
  if (number == FI_EINVAL || number == FI_ENOSYS) code = Code::kInvalid;
  const auto library = Library::get();
  const std::string said = library ? (*library)->strerror(number) : std::to_string(number);
  return {code, what + ": libfabric says \"" + said + "\""};
}

}  // namespace mobula::transport::ofi

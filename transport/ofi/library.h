#pragma once

#include <rdma/fabric.h>

#include <cstdint>
#include <string>

#include "core/base/result.h"

namespace mobula::transport::ofi {

// libfabric, loaded when it is first asked for: at load it looks through its providers, which takes up to 0.2 s.  Never
// unloaded.  These are all the symbols that it exports and we use; the rest is called through its objects.
struct Library {
  int (*getinfo)(std::uint32_t version, const char* node, const char* service, std::uint64_t flags,
                 const fi_info* hints, fi_info** info) = nullptr;
  void (*freeinfo)(fi_info* info) = nullptr;
  fi_info* (*dupinfo)(const fi_info* info) = nullptr;  // Of nullptr: a new one.
  int (*fabric)(fi_fabric_attr* attributes, fid_fabric** fabric, void* context) = nullptr;
  const char* (*strerror)(int error) = nullptr;

  // kUnavailable: it is not installed.
  static base::Result<const Library*> get();
};

// `error` as libfabric returns it, negative or not.
base::Error error_of(const std::string& what, std::int64_t error);

}  // namespace mobula::transport::ofi

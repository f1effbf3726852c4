#pragma once

#include <cstddef>

#include "collective/nccl/abi.h"
#include "core/base/result.h"

namespace mobula::collective::nccl {

// NCCL's entry points, opened when first asked for: a program that has no GPU never loads it.  Never unloaded.  Those
// that an older NCCL lacks are null, and whoever uses them looks.
struct Library {
  int version = 0;  // 22809 for 2.28.9.
  Status (*get_version)(int* version) = nullptr;
  Status (*get_unique_id)(UniqueId* id) = nullptr;
  Status (*comm_init_rank_config)(Comm* comm, int size, UniqueId id, int rank, Config* config) = nullptr;
  Status (*comm_get_async_error)(Comm comm, Status* error) = nullptr;
  Status (*comm_finalize)(Comm comm) = nullptr;
  Status (*comm_destroy)(Comm comm) = nullptr;
  Status (*comm_abort)(Comm comm) = nullptr;
  const char* (*get_error_string)(Status status) = nullptr;
  const char* (*get_last_error)(Comm comm) = nullptr;
  Status (*group_start)() = nullptr;
  Status (*group_end)() = nullptr;
  Status (*all_reduce)(const void* in, void* out, std::size_t count, Element type, Operation op, Comm comm,
                       Stream stream) = nullptr;
  Status (*reduce)(const void* in, void* out, std::size_t count, Element type, Operation op, int root, Comm comm,
                   Stream stream) = nullptr;
  Status (*broadcast)(const void* in, void* out, std::size_t count, Element type, int root, Comm comm,
                      Stream stream) = nullptr;
  Status (*all_gather)(const void* in, void* out, std::size_t count, Element type, Comm comm, Stream stream) = nullptr;
  Status (*reduce_scatter)(const void* in, void* out, std::size_t count, Element type, Operation op, Comm comm,
                           Stream stream) = nullptr;
  Status (*send)(const void* in, std::size_t count, Element type, int peer, Comm comm, Stream stream) = nullptr;
  Status (*recv)(void* out, std::size_t count, Element type, int peer, Comm comm, Stream stream) = nullptr;
  // Since 2.19, 2.27 and 2.28.7.
  Status (*comm_register)(Comm comm, void* buffer, std::size_t bytes, void** handle) = nullptr;
  Status (*comm_deregister)(Comm comm, void* handle) = nullptr;
  Status (*comm_shrink)(Comm comm, int* excluded, int count, Comm* out, Config* config, int flags) = nullptr;
  Status (*comm_revoke)(Comm comm, int flags) = nullptr;

  // kUnavailable: it is not installed, or older than 2.14, whose communicators cannot be polled.  Thread-safe.
  static base::Result<const Library*> get();
};

// For one that is not where the loader looks: MOBULA_NCCL names its file.
base::Result<Library> load(const char* file);

}  // namespace mobula::collective::nccl

#pragma once

#include <climits>
#include <cstddef>

// What we use of NCCL's binary interface, declared here so that one program runs with and without NCCL and is built
// without its header.  The values are NCCL's (nccl.h of 2.14 to 2.30); a test compares them with the header where there
// is one.
namespace mobula::collective::nccl {

struct NcclComm;               // ncclComm
using Comm = NcclComm*;        // ncclComm_t
struct StreamHandle;           // CUstream_st
using Stream = StreamHandle*;  // cudaStream_t; null: the default stream.

struct UniqueId {  // ncclUniqueId
  char internal[128];
};

enum Status : int {  // ncclResult_t
  kSuccess = 0,
  kUnhandledCudaError = 1,
  kSystemError = 2,
  kInternalError = 3,
  kInvalidArgument = 4,
  kInvalidUsage = 5,
  kRemoteError = 6,
  kInProgress = 7,
};

enum Element : int {  // ncclDataType_t
  kNcclInt8 = 0,
  kNcclUint8 = 1,
  kNcclInt32 = 2,
  kNcclUint32 = 3,
  kNcclInt64 = 4,
  kNcclUint64 = 5,
  kNcclFloat16 = 6,
  kNcclFloat32 = 7,
  kNcclFloat64 = 8,
  kNcclBfloat16 = 9,
};

enum Operation : int {  // ncclRedOp_t
  kNcclSum = 0,
  kNcclProd = 1,
  kNcclMax = 2,
  kNcclMin = 3,
  kNcclAvg = 4,
};

inline constexpr int kShrinkAbort = 1;  // NCCL_SHRINK_ABORT

// ncclConfig_t as of 2.18; a later NCCL takes the older form by its size and version.
struct Config {
  std::size_t size = sizeof(Config);
  unsigned int magic = 0xcafebeef;
  unsigned int version = 21800;
  int blocking = INT_MIN;
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
};

}  // namespace mobula::collective::nccl

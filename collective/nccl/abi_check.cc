// Built where NCCL's header is: what abi.h says is what that says.
#include <nccl.h>

#include <cstddef>

#include "collective/nccl/abi.h"

namespace mobula::collective::nccl {

static_assert(sizeof(UniqueId) == sizeof(ncclUniqueId));
static_assert(kSuccess == static_cast<int>(ncclSuccess) &&
              kUnhandledCudaError == static_cast<int>(ncclUnhandledCudaError) &&
              kSystemError == static_cast<int>(ncclSystemError) &&
              kInternalError == static_cast<int>(ncclInternalError) &&
              kInvalidArgument == static_cast<int>(ncclInvalidArgument) &&
              kInvalidUsage == static_cast<int>(ncclInvalidUsage) &&
              kRemoteError == static_cast<int>(ncclRemoteError) && kInProgress == static_cast<int>(ncclInProgress));
static_assert(kNcclInt8 == static_cast<int>(ncclInt8) && kNcclUint8 == static_cast<int>(ncclUint8) &&
              kNcclInt32 == static_cast<int>(ncclInt32) && kNcclUint32 == static_cast<int>(ncclUint32) &&
              kNcclInt64 == static_cast<int>(ncclInt64) && kNcclUint64 == static_cast<int>(ncclUint64) &&
              kNcclFloat16 == static_cast<int>(ncclFloat16) && kNcclFloat32 == static_cast<int>(ncclFloat32) &&
              kNcclFloat64 == static_cast<int>(ncclFloat64) && kNcclBfloat16 == static_cast<int>(ncclBfloat16));
static_assert(kNcclSum == static_cast<int>(ncclSum) && kNcclProd == static_cast<int>(ncclProd) &&
              kNcclMax == static_cast<int>(ncclMax) && kNcclMin == static_cast<int>(ncclMin) &&
              kNcclAvg == static_cast<int>(ncclAvg));
#ifdef NCCL_SHRINK_ABORT
static_assert(kShrinkAbort == NCCL_SHRINK_ABORT);
#endif
static_assert(offsetof(Config, magic) == offsetof(ncclConfig_t, magic) &&
              offsetof(Config, version) == offsetof(ncclConfig_t, version) &&
              offsetof(Config, blocking) == offsetof(ncclConfig_t, blocking) &&
              offsetof(Config, max_ctas) == offsetof(ncclConfig_t, maxCTAs) &&
              offsetof(Config, net_name) == offsetof(ncclConfig_t, netName) &&
              offsetof(Config, split_share) == offsetof(ncclConfig_t, splitShare));
static_assert(NCCL_CONFIG_UNDEF_INT == INT_MIN && sizeof(Config) <= sizeof(ncclConfig_t));

}  // namespace mobula::collective::nccl

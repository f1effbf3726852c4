#pragma once

namespace mobula::transport {

// What a worker whose peers may run on its own CPU can say; only transports within a host have it.
class CpuSharing {
 public:
  virtual ~CpuSharing() = default;
  // Whether the receiver of the last message since this was last asked was seen on the calling thread's CPU: it will
  // not answer before the caller yields.  A hint.
  virtual bool receiver_shares_cpu() = 0;
};

}  // namespace mobula::transport

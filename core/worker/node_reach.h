#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "collective/reach.h"
#include "core/base/bytes.h"
#include "transport/shm/process_memory.h"

namespace mobula::runtime {

// Members' memory as another member on the same node reads it: what lies in the node's store, which all map, in place;
// the rest through the kernel, which not every machine allows (Yama, seccomp, another user).
class NodeReach final : public collective::Reach {
 public:
  // `store`: this process's mapping of the node's store; empty: nothing is read in place.
  NodeReach(base::ConstBytes store, const std::vector<pid_t>& members);

  // Whether this process may copy from a member: whether `token` lies at `address` there.
  bool finds(int rank, std::uint64_t address, std::uint64_t token) const;
  // All members may copy from all.
  void allow_copies() { copies_ = true; }

  std::optional<std::uint64_t> shared_offset(const std::byte* at, std::size_t bytes) const override;
  const std::byte* shared(std::uint64_t offset) const override { return store_.data() + offset; }
  bool copies() const override { return copies_; }
  bool copy(int rank, std::uint64_t address, std::byte* into, std::size_t bytes) const override;

 private:
  base::ConstBytes store_;
  std::vector<transport::shm::PeerProcess> members_;
  bool copies_ = false;
};

}  // namespace mobula::runtime

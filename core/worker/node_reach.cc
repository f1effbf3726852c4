#include "core/worker/node_reach.h"

#include <functional>

namespace mobula::runtime {

NodeReach::NodeReach(base::ConstBytes store, const std::vector<pid_t>& members) : store_(store) {
  members_.reserve(members.size());
  for (const pid_t pid : members) members_.emplace_back(pid);
}

bool NodeReach::finds(int rank, std::uint64_t address, std::uint64_t token) const {
  std::uint64_t found = 0;
  return copy(rank, address, reinterpret_cast<std::byte*>(&found), sizeof found) && found == token;
}

std::optional<std::uint64_t> NodeReach::shared_offset(const std::byte* at, std::size_t bytes) const {
  const std::byte* const begin = store_.data();
  if (store_.size() < bytes || std::less<>()(at, begin) || std::less<>()(begin + (store_.size() - bytes), at)) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(at - begin);
}

bool NodeReach::copy(int rank, std::uint64_t address, std::byte* into, std::size_t bytes) const {
  return members_[static_cast<std::size_t>(rank)].read(address, base::Bytes(into, bytes)).ok();
}

}  // namespace mobula::runtime

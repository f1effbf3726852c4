#include "core/base/ids.h"

namespace mobula::base {
namespace {

std::string to_hex(const std::byte* bytes, std::size_t n) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out(2 * n, '0');
  for (std::size_t i = 0; i < n; ++i) {
    const auto b = std::to_integer<unsigned>(bytes[i]);
    out[2 * i] = kDigits[b >> 4];
    out[2 * i + 1] = kDigits[b & 15];
  }
  return out;
}

}  // namespace

template <class Tag>
std::string Id<Tag>::hex() const {
  return to_hex(reinterpret_cast<const std::byte*>(words.data()), kBytes);
}

template <class Tag>
std::string Id<Tag>::short_hex() const {
  return to_hex(reinterpret_cast<const std::byte*>(words.data()), 6);
}

template struct Id<JobTag>;
template struct Id<NodeTag>;
template struct Id<WorkerTag>;
template struct Id<TaskTag>;
template struct Id<ActorTag>;
template struct Id<ObjectTag>;
template struct Id<LeaseTag>;
template struct Id<PlacementGroupTag>;

}  // namespace mobula::base

// What a peer that has proved itself may send on a control channel; the first byte says in how large
// pieces it arrives.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "transport/sock/frame_reader.h"

using namespace mobula;
using transport::sock::FrameReader;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0];
  base::ConstBytes left{reinterpret_cast<const std::byte*>(data) + 1, size - 1};
  FrameReader reader(nullptr);
  std::size_t bytes = 0;
  while (!left.empty()) {
    const base::Bytes room = reader.room();
    if (room.empty()) std::abort();
    const std::size_t n = std::min({left.size(), piece, room.size()});
    std::memcpy(room.data(), left.data(), n);
    left = left.subspan(n);
    const auto taken = reader.received(n, {}, [&](transport::Frame&& frame) {
      bytes += 16 + frame.payload.size();
      return true;
    });
    if (!taken.ok()) break;
  }
  if (bytes > size) std::abort();
  return 0;
}

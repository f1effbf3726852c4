#pragma once

#include <cstdint>

namespace mobula::base {

inline constexpr const char* kVersion = "0.1.0";

// The format of everything that crosses a process boundary.  Peers of different wire versions refuse
// each other in the handshake; a change of any message's layout raises it.
inline constexpr std::uint32_t kWireVersion = 1;

}  // namespace mobula::base

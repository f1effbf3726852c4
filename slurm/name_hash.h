#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mobula::slurm {

// FNV-1a: the same on every node, for ports and short file names.  Proves nothing.
constexpr std::uint64_t name_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x0000'0100'0000'01b3;
  return hash;
}
inline std::string name_hash_hex(std::string_view text) {
  std::string out(16, '0');
  std::uint64_t hash = name_hash(text);
  for (std::size_t i = out.size(); i-- > 0; hash >>= 4) out[i] = "0123456789abcdef"[hash & 15];
  return out;
}

}  // namespace mobula::slurm

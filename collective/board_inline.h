#pragma once

#include <cstring>

#include "collective/board.h"

namespace mobula::collective {

inline void copy_bytes(void* to, const void* from, std::size_t n) {
  if (n != 0 && to != from) std::memmove(to, from, n);
}

template <class Part>
void Board::reduce(const Call& call, std::byte* into, std::size_t count, int first, int last, Part&& part) {
  if (count == 0) return;
  if (last - first == 1) return copy_bytes(into, part(first), call.bytes(count));
  call.reduction->apply(into, part(first), part(first + 1), count);
  for (int rank = first + 2; rank < last; ++rank) call.reduction->apply(into, into, part(rank), count);
}

}  // namespace mobula::collective

#include "core/os/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace mobula::os {

void fill_random(void* out, std::size_t size) {
  auto* at = static_cast<unsigned char*>(out);
  while (size > 0) {
    const ssize_t n = ::getrandom(at, size, 0);
    if (n > 0) {
      at += n;
      size -= static_cast<std::size_t>(n);
    } else if (errno != EINTR) {  // A kernel without it: ids and secrets would be guessable.
      std::perror("mobula: getrandom");
      std::abort();
    }
  }
}

}  // namespace mobula::os

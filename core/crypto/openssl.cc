#include "core/crypto/openssl.h"

#include <cstdio>
#include <cstdlib>

namespace mobula::crypto {

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "mobula: OpenSSL cannot do %s; check the installation\n", what);
  std::abort();
}

}  // namespace mobula::crypto

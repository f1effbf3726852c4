#pragma once

#include "core/base/bytes.h"

// For the sources of this folder alone.
namespace mobula::crypto {

// Stops the process, and says what OpenSSL cannot do.
void require(bool ok, const char* what);

inline const unsigned char* raw(base::ConstBytes b) { return reinterpret_cast<const unsigned char*>(b.data()); }
inline unsigned char* raw(base::Bytes b) { return reinterpret_cast<unsigned char*>(b.data()); }

}  // namespace mobula::crypto

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "core/base/bytes.h"

// HMAC (RFC 2104), SHA-256 and HKDF (RFC 5869).
namespace mobula::crypto {

using Key = std::array<std::byte, 32>;

Key hmac_sha256(const Key& key, std::string_view label, base::ConstBytes a, base::ConstBytes b = {});
Key sha256(base::ConstBytes bytes);
Key hkdf_sha256(const Key& secret, base::ConstBytes salt, std::string_view label, base::ConstBytes context);

bool equal_in_constant_time(base::ConstBytes a, base::ConstBytes b);
void wipe(base::Bytes secret);

}  // namespace mobula::crypto

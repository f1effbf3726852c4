#pragma once

#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/crypto/mac.h"

// One message that only who has the key can read or write: AES-256-GCM.
namespace mobula::crypto {

inline constexpr std::size_t kSealBytes = 16;  // A sealed message is so much longer.

// REQUIRES: no other message was or will be sealed under this key (the nonce is zero).  `about` is not in the result:
// the reader must know the same, or open_sealed() fails.
std::string seal_message(const Key& key, base::ConstBytes about, std::string_view message);
// kDenied unless it was sealed under this key, about the same, and nothing has been changed.
base::Result<std::string> open_sealed(const Key& key, base::ConstBytes about, std::string_view sealed);

}  // namespace mobula::crypto

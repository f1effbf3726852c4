#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "core/base/result.h"

// What is inside the credentials of munge_rendezvous.h.
namespace mobula::slurm {

using JoinNonce = std::array<std::byte, 32>;

std::string encode_join(std::string_view start, const JoinNonce& nonce);
// kDenied when it names another start.
base::Result<JoinNonce> decode_join(std::string_view bytes, std::string_view start);

std::string encode_welcome(std::string_view start, const JoinNonce& nonce, std::string_view invitation);
// The invitation; kDenied when it answers another question.
base::Result<std::string> decode_welcome(std::string_view bytes, std::string_view start, const JoinNonce& nonce);

}  // namespace mobula::slurm

#include "slurm/munge_exchange.h"

#include <cstring>

#include "core/base/bytes.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::uint32_t kJoin = 0x31'4e'4f'4a;     // "JON1"
constexpr std::uint32_t kWelcome = 0x31'4c'45'57;  // "WEL1"

base::Buffer begin(std::uint32_t kind, std::string_view start, const JoinNonce& nonce) {
  base::Buffer out;
  out.put(kind);
  out.put_string(start);
  out.put(nonce);
  return out;
}

}  // namespace

std::string encode_join(std::string_view start, const JoinNonce& nonce) {
  return std::string(base::as_string_view(begin(kJoin, start, nonce).view()));
}

Result<JoinNonce> decode_join(std::string_view bytes, std::string_view start) {
  base::Cursor in(base::as_bytes(bytes));
  const auto kind = in.get<std::uint32_t>();
  const auto theirs = in.get_string();
  const auto nonce = in.get<JoinNonce>();
  if (!in.ok() || in.left() != 0 || kind != kJoin) return Error{Code::kInvalid, "not a question for an invitation"};
  if (theirs != start) return Error{Code::kDenied, "a process of start " + std::string(theirs)};
  return nonce;
}

std::string encode_welcome(std::string_view start, const JoinNonce& nonce, std::string_view invitation) {
  base::Buffer out = begin(kWelcome, start, nonce);
  out.append(base::as_bytes(invitation));
  std::string bytes(base::as_string_view(out.view()));
  std::memset(out.data(), 0, out.size());
  return bytes;
}

Result<std::string> decode_welcome(std::string_view bytes, std::string_view start, const JoinNonce& nonce) {
  base::Cursor in(base::as_bytes(bytes));
  const auto kind = in.get<std::uint32_t>();
  const auto theirs = in.get_string();
  const auto answered = in.get<JoinNonce>();
  if (!in.ok() || kind != kWelcome) return Error{Code::kInvalid, "not an answer with an invitation"};
  if (theirs != start || answered != nonce) return Error{Code::kDenied, "an answer to somebody else's question"};
  return std::string(base::as_string_view(in.take(in.left())));
}

}  // namespace mobula::slurm

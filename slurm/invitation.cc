#include "slurm/invitation.h"

#include <string.h>

#include "core/base/bytes.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr std::uint32_t kMagic = 0x31'56'4e'49;  // "INV1"
constexpr std::size_t kFieldBytesMax = 512;
constexpr char kDigits[] = "0123456789abcdef";

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

void wipe(std::string& secret) {
  ::explicit_bzero(secret.data(), secret.size());
  secret.clear();
}

std::string encode(const Invitation& invitation) {
  base::Buffer out;
  out.put(kMagic);
  out.put(static_cast<std::uint64_t>(invitation.uid));
  for (const std::string* text : {&invitation.start, &invitation.build_id, &invitation.cluster, &invitation.host_key,
                                  &invitation.gcs_unix, &invitation.gcs_tcp}) {
    out.put_string(*text);
  }
  out.put_string(invitation.job.bytes());
  out.append(invitation.secret.view());
  std::string bytes(base::as_string_view(out.view()));
  ::explicit_bzero(out.data(), out.size());
  return bytes;
}

Result<Invitation> decode_invitation(std::string_view bytes) {
  base::Cursor in(base::as_bytes(bytes));
  const auto magic = in.get<std::uint32_t>();
  const auto uid = in.get<std::uint64_t>();
  std::string fields[6];
  bool fits = true;
  for (std::string& field : fields) {
    field = in.get_string();
    fits = fits && field.size() <= kFieldBytesMax;
  }
  const auto job = base::JobId::from_string(std::string(in.get_string()));
  const auto key = in.take(os::Secret::kBytes);
  fits = fits && uid == static_cast<uid_t>(uid);  // Else it would be taken for another's.
  if (!in.ok() || magic != kMagic || !fits || !job || in.left() != 0) {
    return Error{Code::kInvalid, "what rank 0 has published is not an invitation of this version of Mobula"};
  }
  auto secret = os::Secret::from_bytes(key);
  if (!secret) return secret.error();
  return Invitation{.uid = static_cast<uid_t>(uid),
                    .start = std::move(fields[0]),
                    .build_id = std::move(fields[1]),
                    .cluster = std::move(fields[2]),
                    .host_key = std::move(fields[3]),
                    .gcs_unix = std::move(fields[4]),
                    .gcs_tcp = std::move(fields[5]),
                    .job = *job,
                    .secret = std::move(*secret)};
}

std::string encode_text(const Invitation& invitation) {
  std::string bytes = encode(invitation);
  std::string out;
  out.reserve(2 * bytes.size());
  for (const char c : bytes) {
    out += kDigits[(static_cast<unsigned char>(c) >> 4) & 15];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  wipe(bytes);
  return out;
}

Result<Invitation> decode_invitation_text(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (2 * bytes.size() != text.size()) {
    wipe(bytes);
    return Error{Code::kInvalid, "what rank 0 has published is not hex digits"};
  }
  auto out = decode_invitation(bytes);
  wipe(bytes);
  return out;
}

Result<void> check(const Invitation& invitation, uid_t uid, std::string_view start, std::string_view build_id) {
  if (invitation.uid != uid) {
    return Error{Code::kDenied, "the cluster is of user " + std::to_string(invitation.uid) + ", this process of user " +
                                    std::to_string(uid)};
  }
  if (invitation.start != start) {
    return Error{Code::kDenied,
                 "the cluster is of start " + invitation.start + ", this process of start " + std::string(start)};
  }
  if (invitation.build_id != build_id) {
    return Error{Code::kDenied, "rank 0 runs build " + invitation.build_id + " of the program, this node build " +
                                    std::string(build_id) + ": is the program the same file on every node?"};
  }
  return {};
}

}  // namespace mobula::slurm

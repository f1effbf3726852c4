#include "core/base/error_info.h"

#include <algorithm>

#include "core/base/limits.h"

namespace mobula::base {
namespace {

// Wire form, little endian:
//   u8 version, u8 kind, u8 std_type, u8 evidence count, i64 pid, u32 attempt,
//   what, type, function, node, stack, cause, remedy, evidence...: u32 length, bytes.
constexpr std::uint8_t kVersion = 1;

// A text longer than the limit loses its end, so that every encoded error can be decoded.
void put_text(Buffer& out, std::string_view text) { out.put_string(text.substr(0, kErrorStringBytesMax)); }

bool get_text(Cursor& in, std::string& out) {
  const std::string_view text = in.get_string();
  if (!in.ok() || text.size() > kErrorStringBytesMax) return false;
  out.assign(text);
  return true;
}

}  // namespace

void encode(const ErrorInfo& info, Buffer& out) {
  const std::size_t evidence = std::min(info.evidence.size(), kErrorEvidenceMax);
  out.put(kVersion);
  out.put(info.kind);
  out.put(info.std_type);
  out.put(static_cast<std::uint8_t>(evidence));
  out.put(info.pid);
  out.put(info.attempt);
  for (const auto* text :
       {&info.what, &info.type, &info.function, &info.node, &info.stack, &info.cause, &info.remedy}) {
    put_text(out, *text);
  }
  for (std::size_t i = 0; i < evidence; ++i) put_text(out, info.evidence[i]);
}

std::optional<ErrorInfo> decode_error_info(ConstBytes bytes) {
  Cursor in(bytes);
  ErrorInfo info;
  const auto version = in.get<std::uint8_t>();
  const auto kind = in.get<std::uint8_t>();
  const auto std_type = in.get<std::uint8_t>();
  const auto evidence = in.get<std::uint8_t>();
  info.pid = in.get<std::int64_t>();
  info.attempt = in.get<std::uint32_t>();
  if (!in.ok() || version != kVersion || evidence > kErrorEvidenceMax) return std::nullopt;
  if (kind > static_cast<std::uint8_t>(ErrorKind::kClusterDown)) return std::nullopt;
  if (std_type > static_cast<std::uint8_t>(StdException::kSystemError)) return std::nullopt;
  info.kind = static_cast<ErrorKind>(kind);
  info.std_type = static_cast<StdException>(std_type);
  for (auto* text : {&info.what, &info.type, &info.function, &info.node, &info.stack, &info.cause, &info.remedy}) {
    if (!get_text(in, *text)) return std::nullopt;
  }
  if (in.left() < evidence * sizeof(std::uint32_t)) return std::nullopt;
  info.evidence.resize(evidence);
  for (auto& line : info.evidence) {
    if (!get_text(in, line)) return std::nullopt;
  }
  if (in.left() != 0) return std::nullopt;
  return info;
}

}  // namespace mobula::base

#include "core/cli/remote_wire.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mobula::cli {
namespace {

constexpr std::size_t kHeaderBytes = 5;
constexpr std::size_t kWordsMax = 100'000;

void put(base::Buffer& out, const std::vector<std::string>& words) {
  out.put(static_cast<std::uint32_t>(words.size()));
  for (const auto& word : words) out.put_string(word);
}

std::vector<std::string> get(base::Cursor& in) {
  const auto count = in.get<std::uint32_t>();
  if (count > kWordsMax) in.fail();
  std::vector<std::string> out;
  for (std::uint32_t i = 0; in.ok() && i < count; ++i) out.emplace_back(in.get_string());
  return out;
}

}  // namespace

std::optional<RemoteFrame> FrameReader::next() {
  if (bad_ || received_.size() < kHeaderBytes) return std::nullopt;
  std::uint32_t size = 0;
  std::memcpy(&size, received_.data() + 1, sizeof size);
  if (size > kFrameBytesMax) {
    bad_ = true;
    return std::nullopt;
  }
  if (received_.size() < kHeaderBytes + size) return std::nullopt;
  RemoteFrame out{static_cast<FrameKind>(received_[0]), received_.substr(kHeaderBytes, size)};
  received_.erase(0, kHeaderBytes + size);
  return out;
}

bool send_frame(int fd, FrameKind kind, std::string_view bytes) {
  base::Buffer frame;
  frame.put(kind);
  frame.put(static_cast<std::uint32_t>(bytes.size()));
  frame.append(base::as_bytes(bytes));
  for (std::size_t sent = 0; sent < frame.size();) {
    const ssize_t n = ::write(fd, frame.data() + sent, frame.size() - sent);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) sent += static_cast<std::size_t>(n);
  }
  return true;
}

std::string encode(const RemoteStart& start) {
  base::Buffer out;
  out.put(start.rank);
  out.put(start.size);
  out.put_string(start.cwd);
  put(out, start.argv);
  put(out, start.environment);
  return std::string(base::as_string_view(out.view()));
}

std::optional<RemoteStart> decode_remote_start(std::string_view bytes) {
  base::Cursor in(base::as_bytes(bytes));
  RemoteStart out;
  out.rank = in.get<std::uint32_t>();
  out.size = in.get<std::uint32_t>();
  out.cwd = in.get_string();
  out.argv = get(in);
  out.environment = get(in);
  if (!in.ok() || in.left() != 0 || out.argv.empty() || out.rank >= out.size) return std::nullopt;
  return out;
}

}  // namespace mobula::cli

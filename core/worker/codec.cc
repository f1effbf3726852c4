#include "core/worker/codec.h"

#include <cstring>

namespace mobula::runtime {

namespace {
constexpr std::size_t kFixedHeader = 8;  // u32 meta bytes, u32 count.
}

std::size_t Encoder::payload_bytes() const {
  std::size_t n = header_bytes() + meta_.size();
  for (const ConstBytes b : buffers_) n = align_up(n, kBufferAlign) + b.size();
  return n;
}

void Encoder::flatten(std::byte* to) const {
  const auto meta_bytes = static_cast<std::uint32_t>(meta_.size());
  const auto count = static_cast<std::uint32_t>(buffers_.size());
  std::memcpy(to, &meta_bytes, sizeof meta_bytes);
  std::memcpy(to + 4, &count, sizeof count);
  std::size_t at = kFixedHeader;
  for (const ConstBytes b : buffers_) {
    const std::uint64_t size = b.size();
    std::memcpy(to + at, &size, sizeof size);
    at += sizeof size;
  }
  if (!meta_.empty()) std::memcpy(to + at, meta_.data(), meta_.size());
  at += meta_.size();
  for (const ConstBytes b : buffers_) {
    const std::size_t begin = align_up(at, kBufferAlign);
    std::memset(to + at, 0, begin - at);  // What lies between must not tell of earlier objects.
    if (!b.empty()) std::memcpy(to + begin, b.data(), b.size());
    at = begin + b.size();
  }
}

Decoder Decoder::payload(const View& view) {
  Decoder out(ConstBytes{});
  out.fail();
  const ConstBytes whole = view.bytes;
  if (whole.size() < kFixedHeader) return out;
  std::uint32_t meta_bytes = 0;
  std::uint32_t count = 0;
  std::memcpy(&meta_bytes, whole.data(), sizeof meta_bytes);
  std::memcpy(&count, whole.data() + 4, sizeof count);
  if (count > kPayloadBuffersMax) return out;
  const std::size_t meta_at = kFixedHeader + 8 * std::size_t{count};
  if (meta_at > whole.size() || meta_bytes > whole.size() - meta_at) return out;
  out.cursor_ = base::Cursor(whole.subspan(meta_at, meta_bytes));
  out.whole_ = whole;
  out.sizes_ = whole.data() + kFixedHeader;
  out.count_ = count;
  out.offset_ = meta_at + meta_bytes;
  out.keep_alive_ = view.keep_alive;
  return out;
}

ConstBytes Decoder::buffer() {
  if (!ok() || next_ == count_) {
    fail();
    return {};
  }
  std::uint64_t size = 0;
  std::memcpy(&size, sizes_ + 8 * std::size_t{next_}, sizeof size);
  const std::size_t begin = align_up(offset_, kBufferAlign);
  if (begin > whole_.size() || size > whole_.size() - begin) {
    fail();
    return {};
  }
  ++next_;
  offset_ = begin + size;
  return whole_.subspan(begin, size);
}

}  // namespace mobula::runtime

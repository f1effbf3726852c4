#include "transport/sock/frame_queue.h"

#include <utility>

#include "transport/channel.h"

namespace mobula::transport::sock {
namespace {

constexpr std::size_t kBlockBytes = 32u << 10;

}  // namespace

std::optional<ChannelHeader> decode_channel_header(base::ConstBytes bytes) {
  ChannelHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.payload_bytes > kFrameBytesMax || (header.flags >> kFdCountShift) > kFrameFdsMax) return std::nullopt;
  return header;
}

void FrameQueue::add(const ChannelHeader& header, base::ConstBytes payload, const crypto::Tag* tag,
                     std::vector<os::Fd> fds) {
  const std::size_t total = sizeof header + payload.size() + (tag == nullptr ? 0 : tag->size());
  const bool joins = !blocks_.empty() && fds.empty() && blocks_.back().bytes.size() + total <= kBlockBytes;
  if (!joins) blocks_.push_back({{}, std::move(fds)});
  base::Buffer& to = blocks_.back().bytes;
  std::byte* at = to.extend(total);
  std::memcpy(at, &header, sizeof header);
  at += sizeof header;
  if (!payload.empty()) std::memcpy(at, payload.data(), payload.size());
  if (tag != nullptr) std::memcpy(at + payload.size(), tag->data(), tag->size());
  bytes_ += total;
}

void FrameQueue::clear() {
  blocks_.clear();
  sent_ = bytes_ = 0;
}

std::vector<int> FrameQueue::next_fds() const {
  std::vector<int> out;
  for (const os::Fd& fd : blocks_.front().fds) out.push_back(fd.get());
  return out;
}

void FrameQueue::sent(std::size_t bytes) {
  bytes_ -= bytes;
  sent_ += bytes;
  blocks_.front().fds.clear();
  if (sent_ < blocks_.front().bytes.size()) return;
  blocks_.pop_front();
  sent_ = 0;
}

}  // namespace mobula::transport::sock

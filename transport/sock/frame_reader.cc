#include "transport/sock/frame_reader.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

namespace mobula::transport::sock {
namespace {

constexpr std::size_t kWaitingFdsMax = 64;

base::Error error(base::Code code, const char* what) { return {code, what}; }

}  // namespace

base::Bytes FrameReader::room() {
  if (large_) return {large_.get() + have_, large_bytes_ - have_};
  return {small_.get() + have_, kSmallBytes - have_};
}

base::Result<void> FrameReader::received(std::size_t bytes, std::vector<os::Fd> fds, const Take& take) {
  std::move(fds.begin(), fds.end(), std::back_inserter(fds_));
  if (fds_.size() > kWaitingFdsMax) return error(base::Code::kInvalid, "the peer sent descriptors without frames");
  have_ += bytes;
  if (large_ && have_ < large_bytes_) return {};
  const std::unique_ptr<std::byte[]> large = std::move(large_);
  const base::ConstBytes all{large ? large.get() : small_.get(), have_};
  std::size_t at = 0;
  for (;;) {
    std::size_t used = 0;
    const base::Result<bool> more = next(all.subspan(at), &used, take);
    if (!more.ok()) return more.error();
    at += used;
    if (!*more) break;
  }
  if (large_) return {};  // The frame that begins here goes on there.
  have_ = all.size() - at;
  if (have_ != 0 && !large) std::memmove(small_.get(), small_.get() + at, have_);
  return {};
}

// Hands over one frame; false when there is none, or when the taker has had enough.
base::Result<bool> FrameReader::next(base::ConstBytes rest, std::size_t* used, const Take& take) {
  if (rest.size() < sizeof(ChannelHeader)) return false;
  const std::optional<ChannelHeader> header = decode_channel_header(rest);
  if (!header) return error(base::Code::kInvalid, "the peer broke the format of frames");
  const std::size_t total = sizeof *header + header->payload_bytes + (seal_ ? sizeof(crypto::Tag) : 0);
  if (rest.size() < total) {
    if (total <= kSmallBytes) return false;
    begin_large(total, rest);
    if (!large_) return error(base::Code::kExhausted, "no memory for a frame");
    return false;
  }
  *used = total;
  return hand_over(*header, rest.first(sizeof *header), rest.subspan(sizeof *header, total - sizeof *header), take);
}

base::Result<bool> FrameReader::hand_over(const ChannelHeader& header, base::ConstBytes raw_header,
                                          base::ConstBytes body, const Take& take) {
  Frame frame;
  frame.type = header.type;
  frame.flags = header.flags & kUserFlags;
  frame.request = header.request;
  frame.payload = body.first(header.payload_bytes);
  if (seal_ &&
      !crypto::equal_in_constant_time(seal_->next(raw_header, frame.payload), body.subspan(header.payload_bytes))) {
    return error(base::Code::kDenied, "a frame was changed on its way");
  }
  const std::size_t fds = header.flags >> kFdCountShift;
  if (fds > fds_.size()) return error(base::Code::kExhausted, "descriptors were lost on their way: the table is full");
  const auto end = fds_.begin() + static_cast<std::ptrdiff_t>(fds);
  std::move(fds_.begin(), end, std::back_inserter(frame.fds));
  fds_.erase(fds_.begin(), end);
  return take(std::move(frame));
}

void FrameReader::begin_large(std::size_t total, base::ConstBytes have) {
  large_.reset(new (std::nothrow) std::byte[total]);
  if (!large_) return;
  std::memcpy(large_.get(), have.data(), have.size());
  large_bytes_ = total;
  have_ = have.size();
}

}  // namespace mobula::transport::sock

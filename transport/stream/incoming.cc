#include "transport/stream/incoming.h"

#include <algorithm>
#include <new>

namespace mobula::transport::stream {
namespace {

constexpr std::size_t kInPlaceBytes = 96u << 10;  // Whole frames up to this size are handed over in the scratch.
constexpr std::size_t kReadAheadBytes = 4096;     // Behind a large payload: the next frame's header.
static_assert(kInPlaceBytes + kReadAheadBytes < Incoming::kScratchBytes);

bool is_chunk(const FrameHeader& f) { return f.kind == Kind::kReadChunk || f.kind == Kind::kWriteChunk; }

}  // namespace

Incoming::State Incoming::pump(ByteStream& stream, Bytes scratch, std::size_t budget, Sink& sink) {
  have_ = aside_.size();
  if (have_ != 0) std::memcpy(scratch.data(), aside_.data(), have_);
  aside_.clear();
  State state = State::kOpen;
  for (std::size_t read = 0; state == State::kOpen && read < budget;) {
    const auto [n, all_there_was] = fill(stream, scratch);
    if (n == ByteStream::kBlocked) break;
    if (n == ByteStream::kEnded) {
      state = State::kEnded;
      break;
    }
    read += static_cast<std::size_t>(n);
    state = parse(scratch, sink);
    if (all_there_was) break;
  }
  if (state == State::kOpen) aside_.append(scratch.data(), have_);
  return state;
}

// While a large payload is under way nothing waits in the scratch space before it.
Incoming::Filled Incoming::fill(ByteStream& stream, Bytes scratch) {
  if (!large_) {
    const iovec part{scratch.data() + have_, scratch.size() - have_};
    const std::ptrdiff_t n = stream.read({&part, 1});
    if (n > 0) have_ += static_cast<std::size_t>(n);
    return {n, n > 0 && static_cast<std::size_t>(n) < part.iov_len};
  }
  const std::size_t left = frame_.payload_bytes - done_;
  std::array<iovec, 2> parts;
  parts[0] = target_.empty() ? iovec{scratch.data() + kReadAheadBytes, std::min(left, scratch.size() - kReadAheadBytes)}
                             : iovec{target_.data() + done_, left};
  parts[1] = {scratch.data(), kReadAheadBytes};
  const bool to_end = parts[0].iov_len == left;
  const std::ptrdiff_t n = stream.read({parts.data(), to_end ? 2u : 1u});
  if (n <= 0) return {n, false};
  const std::size_t got = std::min(static_cast<std::size_t>(n), parts[0].iov_len);
  done_ += got;
  have_ = static_cast<std::size_t>(n) - got;
  return {n, static_cast<std::size_t>(n) < parts[0].iov_len};
}

Incoming::State Incoming::parse(Bytes scratch, Sink& sink) {
  std::size_t at = 0;
  State state = State::kOpen;
  if (large_) {
    if (done_ < frame_.payload_bytes) return State::kOpen;
    if (!end_large(sink)) return State::kStopped;
  }
  while (state == State::kOpen && have_ - at >= sizeof(FrameHeader)) {
    const ConstBytes rest{scratch.data() + at, have_ - at};
    const std::optional<FrameHeader> frame = decode_frame_header(rest);
    if (!frame) return State::kBroken;
    const std::size_t total = sizeof *frame + frame->header_bytes + frame->payload_bytes;
    if (is_chunk(*frame) || total > kInPlaceBytes) {
      if (rest.size() < sizeof *frame + frame->header_bytes) break;
      frame_ = *frame;
      const std::size_t taken = std::min(rest.size(), total);
      state = begin_large(rest.first(taken), sink);
      at += taken;
      if (large_) break;
      continue;
    }
    if (rest.size() < total) break;
    const ConstBytes body = rest.subspan(sizeof *frame, frame->header_bytes + frame->payload_bytes);
    if (!sink.frame(*frame, body.first(frame->header_bytes), body.subspan(frame->header_bytes))) {
      state = State::kStopped;
    }
    at += total;
  }
  have_ -= at;
  if (have_ != 0 && at != 0) std::memmove(scratch.data(), scratch.data() + at, have_);
  return state;
}

// `have` is the frame as far as it is there.
Incoming::State Incoming::begin_large(ConstBytes have, Sink& sink) {
  const ConstBytes header = have.subspan(sizeof frame_, frame_.header_bytes);
  const ConstBytes payload = have.subspan(sizeof frame_ + header.size());
  large_ = true;
  done_ = payload.size();
  if (is_chunk(frame_)) {
    const std::optional<Bytes> target = sink.chunk_begins(frame_);
    if (!target) return State::kBroken;
    target_ = *target;
  } else {
    if (!header.empty()) std::memcpy(header_.data(), header.data(), header.size());
    payload_.reset(new (std::nothrow) std::byte[frame_.payload_bytes]);  // Not touched before the bytes come.
    if (!payload_) return State::kBroken;
    target_ = {payload_.get(), frame_.payload_bytes};
  }
  if (!target_.empty() && !payload.empty()) std::memcpy(target_.data(), payload.data(), payload.size());
  if (done_ == frame_.payload_bytes && !end_large(sink)) return State::kStopped;
  return State::kOpen;
}

void Incoming::drop_chunk(Kind kind, std::uint64_t id) {
  if (large_ && frame_.kind == kind && frame_.id == id) target_ = {};
}

bool Incoming::end_large(Sink& sink) {
  large_ = false;
  target_ = {};
  if (is_chunk(frame_)) return sink.chunk_ended(frame_);
  const std::unique_ptr<std::byte[]> payload = std::move(payload_);
  return sink.frame(frame_, {header_.data(), frame_.header_bytes}, {payload.get(), frame_.payload_bytes});
}

}  // namespace mobula::transport::stream

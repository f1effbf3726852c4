#include "transport/stream/outgoing.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mobula::transport::stream {
namespace {

constexpr std::size_t kBlockBytes = 64u << 10;     // Small messages are gathered into blocks of this size.
constexpr std::size_t kQuantumBytes = 256u << 10;  // Of messages between two chunks.
constexpr std::size_t kPartsMax = 64;
constexpr std::size_t kSparesMax = 4;

}  // namespace

void Outgoing::copy_message(const FrameHeader& frame, ConstBytes header, ConstBytes payload, std::size_t skip) {
  const std::size_t total = sizeof frame + header.size() + payload.size() - skip;
  base::Buffer& block = skip == 0 ? block_for(messages_, total) : rest_of_frame();
  if (skip != 0) wire_bytes_ += total;
  std::byte* to = block.extend(total);
  for (const ConstBytes part : {base::object_bytes(frame), header, payload}) {
    const std::size_t gone = std::min(skip, part.size());
    skip -= gone;
    if (part.size() == gone) continue;
    std::memcpy(to, part.data() + gone, part.size() - gone);
    to += part.size() - gone;
  }
  queued_bytes_ += total;
}

void Outgoing::refer_message(const FrameHeader& frame, ConstBytes header, ConstBytes payload, Completion& completion) {
  Segment head;
  head.owned.put(frame);
  head.owned.append(header);
  head.counted = true;
  head.continued = true;
  queued_bytes_ += head.owned.size();
  messages_.push_back(std::move(head));
  Segment body;
  body.referred = payload;
  body.completion = &completion;
  messages_.push_back(std::move(body));
}

void Outgoing::answer(const FrameHeader& frame, ConstBytes header) {
  base::Buffer& block = block_for(answers_, sizeof frame + header.size());
  block.put(frame);
  block.append(header);
}

void Outgoing::drop_transfer(Kind kind, std::uint64_t id) {
  std::erase_if(transfers_, [&](const Transfer& t) { return t.kind == kind && t.id == id; });
}

std::vector<std::uint64_t> Outgoing::forget_region(std::uint64_t region) {
  for (Segment& segment : wire_) {
    if (segment.region != region) continue;
    segment.owned.clear();
    segment.owned.append(segment.referred);
    segment.referred = {};
    segment.region = 0;
  }
  std::vector<std::uint64_t> ids;
  for (const Transfer& t : transfers_) {
    if (t.region == region && t.kind == Kind::kReadChunk) ids.push_back(t.id);
  }
  std::erase_if(transfers_, [&](const Transfer& t) { return t.region == region; });
  return ids;
}

Outgoing::State Outgoing::flush(ByteStream& stream, Completions& completions) {
  for (;;) {
    refill();
    if (wire_.empty()) return State::kIdle;
    std::array<iovec, kPartsMax> parts;
    std::size_t n = 0;
    std::size_t skip = sent_;
    for (const Segment& segment : wire_) {
      if (n == kPartsMax) break;
      const ConstBytes b = segment.bytes().subspan(skip);
      parts[n++] = {const_cast<std::byte*>(b.data()), b.size()};
      skip = 0;
    }
    const std::ptrdiff_t wrote = stream.write({parts.data(), n});
    if (wrote == ByteStream::kBlocked) return State::kBlocked;
    if (wrote == ByteStream::kEnded) return State::kEnded;
    advance(static_cast<std::size_t>(wrote), completions);
  }
}

void Outgoing::fail(const base::Error& why, Completions& completions) {
  for (auto* queue : {&wire_, &messages_}) {
    for (const Segment& segment : *queue) {
      if (segment.completion != nullptr) completions.add(*segment.completion, why);
    }
    queue->clear();
  }
  answers_.clear();
  transfers_.clear();
  queued_bytes_ = wire_bytes_ = sent_ = 0;
}

base::Buffer& Outgoing::block_for(std::deque<Segment>& queue, std::size_t bytes) {
  if (!queue.empty()) {
    Segment& last = queue.back();
    if (last.referred.empty() && !last.continued && last.owned.size() + bytes <= kBlockBytes) return last.owned;
  }
  Segment fresh;
  fresh.counted = &queue == &messages_;
  if (!spares_.empty() && bytes <= kBlockBytes) {
    fresh.owned = std::move(spares_.back());
    spares_.pop_back();
  }
  queue.push_back(std::move(fresh));
  return queue.back().owned;
}

// Nothing may come between the parts of a frame: its rest goes on the wire next.  REQUIRES: idle()
base::Buffer& Outgoing::rest_of_frame() {
  wire_.emplace_back();
  wire_.back().counted = true;
  return wire_.back().owned;
}

void Outgoing::refill() {
  while (wire_bytes_ < kQuantumBytes && (!answers_.empty() || !messages_.empty() || !transfers_.empty())) {
    commit(answers_, kQuantumBytes);
    commit(messages_, kQuantumBytes);
    commit_chunk();
  }
}

void Outgoing::commit(std::deque<Segment>& from, std::size_t quantum) {
  std::size_t taken = 0;
  bool whole = true;
  while (!from.empty() && (taken < quantum || !whole)) {
    whole = !from.front().continued;
    taken += from.front().bytes().size();
    wire_.push_back(std::move(from.front()));
    from.pop_front();
  }
  wire_bytes_ += taken;
}

void Outgoing::commit_chunk() {
  if (transfers_.empty()) return;
  Transfer transfer = transfers_.front();
  transfers_.pop_front();
  const ConstBytes chunk = transfer.left.first(std::min(transfer.left.size(), kChunkBytes));
  FrameHeader frame;
  frame.kind = transfer.kind;
  frame.payload_bytes = chunk.size();
  frame.id = transfer.id;
  Segment head;
  head.owned.put(frame);
  head.continued = true;
  wire_.push_back(std::move(head));
  Segment body;
  body.referred = chunk;
  body.region = transfer.region;
  wire_.push_back(std::move(body));
  wire_bytes_ += sizeof frame + chunk.size();
  transfer.left = transfer.left.subspan(chunk.size());
  if (!transfer.left.empty()) transfers_.push_back(transfer);
}

void Outgoing::advance(std::size_t bytes, Completions& completions) {
  wire_bytes_ -= bytes;
  while (bytes != 0) {
    Segment& first = wire_.front();
    const std::size_t n = std::min(bytes, first.bytes().size() - sent_);
    sent_ += n;
    bytes -= n;
    if (first.counted) queued_bytes_ -= n;
    if (sent_ < first.bytes().size()) break;
    retire(first, completions);
    wire_.pop_front();
    sent_ = 0;
  }
}

void Outgoing::retire(Segment& segment, Completions& completions) {
  if (segment.completion != nullptr) completions.add(*segment.completion, segment.referred.size());
  const std::size_t size = segment.owned.size();
  if (size < kBlockBytes / 2 || size > kBlockBytes || spares_.size() == kSparesMax) return;
  segment.owned.clear();
  spares_.push_back(std::move(segment.owned));
}

}  // namespace mobula::transport::stream

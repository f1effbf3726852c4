#include "transport/ucx/transfers.h"

#include <algorithm>
#include <utility>

namespace mobula::transport::ucx {
namespace {

Kind answer_to(Kind kind) { return kind == Kind::kRead ? Kind::kReadDone : Kind::kWriteDone; }

// A code from the peer; what is not one of ours reads as "something is wrong".
base::Code code_from_wire(std::uint16_t code) {
  return code <= static_cast<std::uint16_t>(base::Code::kDenied) ? static_cast<base::Code>(code) : base::Code::kInvalid;
}

}  // namespace

void Transfers::start(const Start& start) {
  Transfer transfer;
  transfer.start = start;
  transfer.start.key.rkey = {};  // Points into the caller's bytes.
  open_.emplace(next_id_++, std::move(transfer));
}

void Transfers::pump(Sender& sender) {
  for (auto& [id, transfer] : open_) {
    const Start& start = transfer.start;
    while (!transfer.failed && transfer.asked < start.local.size()) {
      if (pieces_in_flight_ == kPiecesMax) return;
      const std::size_t size = std::min(kPieceBytes, start.local.size() - transfer.asked);
      const Access access{id, start.key.region, start.key.cookie, start.offset + transfer.asked, size};
      const ConstBytes payload =
          start.kind == Kind::kWrite ? ConstBytes(start.local.subspan(transfer.asked, size)) : ConstBytes();
      transfer.asked += size;
      ++transfer.in_flight;
      ++pieces_in_flight_;
      sender.send_piece(start.kind, access, payload);
    }
  }
}

bool Transfers::answered(Kind kind, std::uint16_t code, const Access& access, ConstBytes payload,
                         stream::Completions& completions) {
  const auto it = open_.find(access.transfer);
  if (it == open_.end()) return false;
  Transfer& transfer = it->second;
  const Start& start = transfer.start;
  if (kind != answer_to(start.kind) || transfer.in_flight == 0) return false;
  const std::uint64_t at = access.offset - start.offset;  // Wraps when the answer is made up.
  // One of the pieces as pump() cut them: a shorter answer would leave an access that never ends.
  if (at % kPieceBytes != 0 || at >= transfer.asked || access.size != std::min(kPieceBytes, start.local.size() - at))
    return false;
  if (code != 0) {
    transfer.failed = base::Error{code_from_wire(code), "the peer refused access to its region"};
  } else if (kind == Kind::kReadDone) {
    if (payload.size() != access.size) return false;
    if (!payload.empty()) std::memcpy(start.local.data() + at, payload.data(), payload.size());
  }
  transfer.done += access.size;
  --transfer.in_flight;
  --pieces_in_flight_;
  finish_if_over(access.transfer, completions);
  return true;
}

void Transfers::finish_if_over(std::uint64_t id, stream::Completions& completions) {
  const auto it = open_.find(id);
  const Transfer& transfer = it->second;
  if (transfer.in_flight != 0) return;
  if (transfer.failed) {
    completions.add(*transfer.start.completion, *transfer.failed);
  } else if (transfer.done >= transfer.start.local.size()) {
    completions.add(*transfer.start.completion, transfer.start.local.size());
  } else {
    return;
  }
  open_.erase(it);
}

void Transfers::fail(const base::Error& why, stream::Completions& completions) {
  for (auto& [id, transfer] : open_) completions.add(*transfer.start.completion, why);
  open_.clear();
  pieces_in_flight_ = 0;
}

}  // namespace mobula::transport::ucx

// What a peer may say over UCX's channel and in its messages.  The first byte says to which reader; keys get the hash
// that their bytes must have, which no input could guess.

#include "core/base/ids.h"
#include "tests/fuzz/input.h"
#include "transport/ucx/reorder.h"
#include "transport/ucx/transfers.h"
#include "transport/ucx/wire.h"

using namespace mobula;
using namespace mobula::transport::ucx;

namespace {

void read_hello(fuzz::Input& input) {
  const base::ConstBytes bytes = input.rest();
  const auto hello = decode_hello(bytes);
  if (!hello) return;
  fuzz::require(hello->address.size() <= kUcxAddressBytesMax);
  const base::Buffer again = encode(*hello);
  fuzz::require(base::as_string_view(again.view()) == base::as_string_view(bytes));
}

void read_key(fuzz::Input& input) {
  base::Buffer bytes;
  bytes.append(input.rest());
  static_cast<void>(decode_region_key(bytes.view()));
  bytes.put(base::hash64(base::as_string_view(bytes.view())));
  const auto key = decode_region_key(bytes.view());
  if (!key) return;
  fuzz::require(bytes.size() <= kRegionKeyBytesMax && key->rkey.size() <= kRkeyBytesMax);
  fuzz::require(key->base + key->size >= key->base);
  const base::Buffer again = encode(*key);
  fuzz::require(base::as_string_view(again.view()) == base::as_string_view(bytes.view()));
}

// Messages in any order of their numbers: each is delivered once, in order, and what waits has a bound.
void reorder(fuzz::Input& input) {
  constexpr std::size_t kBytesMax = 8192;
  transport::BufferCache buffers;
  std::uint32_t next = 0xffff'fff0u;  // The numbers wrap.
  Reorder order(buffers, kBytesMax, next);
  while (!input.empty()) {
    MessageHeader head;
    head.sequence = next + input.byte();
    const std::size_t payload = input.byte() * std::size_t{16};
    if (order.is_next(head.sequence)) {
      order.advance();
      ++next;
    } else if (Held* held = order.hold(head, 8, payload)) {
      fuzz::require(held->header().size() == 8 && held->payload().size() == payload);
      std::fill(held->payload().begin(), held->payload().end(), std::byte{1});
    }
    while (order.ready()) {
      auto held = order.take();
      fuzz::require(held->head.sequence == next++);
      order.give_back(std::move(held));
    }
    fuzz::require(order.is_valid() && order.held_bytes() <= kBytesMax);
  }
}

class Asked final : public Transfers::Sender {
 public:
  void send_piece(Kind kind, const Access& access, base::ConstBytes payload) override {
    fuzz::require(access.size <= kPieceBytes && payload.size() == (kind == Kind::kWrite ? access.size : 0));
    pieces.emplace_back(kind, access);
  }
  std::vector<std::pair<Kind, Access>> pieces;
};
class Ended final : public transport::Completion {
 public:
  void done(transport::Result<std::size_t>) override { fuzz::require(++times == 1); }
  int times = 0;
};

// Answers to what was asked, and to what was not: each access ends once; none is left with nothing under way.
void answer(fuzz::Input& input) {
  static std::vector<std::byte> memory(3 * kPieceBytes), piece(kPieceBytes);
  transport::stream::Completions completions;
  Transfers transfers;
  Asked asked;
  Ended read, write;
  transfers.start(
      {Kind::kRead, {1, 2, 0, memory.size(), {}}, 64, base::Bytes(memory).first(2 * kPieceBytes + 5), &read});
  transfers.start({Kind::kWrite, {1, 2, 0, memory.size(), {}}, 0, base::Bytes(memory).first(kPieceBytes), &write});
  transfers.pump(asked);
  while (!asked.pieces.empty() && !input.empty()) {
    const std::uint8_t how = input.byte();
    const std::size_t which = how % asked.pieces.size();
    auto [kind, access] = asked.pieces[which];
    kind = kind == Kind::kRead ? Kind::kReadDone : Kind::kWriteDone;
    if ((how & 0x40) != 0) access = input.get<Access>();
    if ((how & 0x20) != 0) access.size = input.get<std::uint32_t>() % (kPieceBytes + 1);
    const std::uint16_t code = (how & 0x10) != 0 ? input.byte() : 0;
    const base::ConstBytes payload =
        base::ConstBytes(piece).first(kind == Kind::kReadDone && code == 0 ? std::min(access.size, kPieceBytes) : 0);
    const bool sound = transfers.answered(kind, code, access, payload, completions);
    if (sound) asked.pieces.erase(asked.pieces.begin() + static_cast<std::ptrdiff_t>(which));
    completions.run();
    if (!sound) break;
    transfers.pump(asked);
    fuzz::require(transfers.idle() == asked.pieces.empty());
  }
  transfers.fail({base::Code::kUnavailable, "the peer is gone"}, completions);
  completions.run();
  fuzz::require(read.times == 1 && write.times == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  switch (input.byte() % 4) {
    case 0: read_hello(input); break;
    case 1: read_key(input); break;
    case 2: reorder(input); break;
    case 3: answer(input); break;
  }
  return 0;
}

// What the other members of a group may send: the first byte says what this member has begun; then, again and again, a
// header, how long the payload is, and the payload.

#include <array>

#include "collective/choose.h"
#include "collective/group.h"
#include "tests/fuzz/input.h"

using namespace mobula;
using namespace mobula::collective;

namespace {

constexpr GroupKey kKey{7, 1};
constexpr Place kPlace{1, 4};
constexpr std::size_t kElements = 24;

// Takes what may be under way and refuses now and then.
class Sink final : public Wire {
 public:
  bool send(int rank, const MessageHeader& header, base::ConstBytes) override {
    fuzz::require(rank >= 0 && rank < kPlace.size && rank != kPlace.rank && header.from == kPlace.rank);
    return ++sent_ % 5 != 0;
  }

 private:
  int sent_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Sink wire;
  Group group(kKey, kPlace);
  // On the heap, each in its own block: a write past the end is seen.
  std::vector<std::int32_t> in(kElements * kPlace.size, 1), out(kElements * kPlace.size), got(kElements);
  const std::uint8_t begun = input.byte();
  std::vector<std::shared_ptr<Call>> calls;
  if ((begun & 0x80) != 0) {
    calls.push_back(group.begin_receive(0, std::as_writable_bytes(std::span(got)), wire));
    calls.push_back(group.begin_send(2, std::as_bytes(std::span(got)), wire));
  }
  Request request;
  request.operation = static_cast<Operation>(begun % (kOperations - 1));  // But kSendReceive, which has no plan.
  request.count = request.operation == Operation::kBarrier ? 0 : kElements;
  request.element_bytes = request.operation == Operation::kBarrier ? 1 : sizeof(std::int32_t);
  const Reduction* sum = find_reduction(DataType::kInt32, ReduceOp::kSum);
  const Signature signature{request.operation, 0, sum->id, request.count, request.element_bytes};
  calls.push_back(group.begin(plan_for(Table(), request, kPlace), signature,
                              {reinterpret_cast<const std::byte*>(in.data()), reinterpret_cast<std::byte*>(out.data())},
                              sum, wire));
  while (!input.empty()) {
    auto header = input.get<MessageHeader>();
    header.group = kKey.id;  // By these it was found.
    header.epoch = kKey.epoch;
    const base::ConstBytes payload = input.take(input.byte());
    const bool sound = group.receive(header, payload, wire);
    for (const auto& call : calls) fuzz::require(!(call->done && call->failed));
    if (group.failure()) {
      for (const auto& [rank, next_incarnation] : group.failure()->dead) fuzz::require(rank >= 0 && rank < kPlace.size);
      for (const auto& call : calls) fuzz::require(call->ended());
      base::Buffer bytes;
      encode(*group.failure(), bytes);
      fuzz::require(decode_failure(bytes.view()).has_value());
    }
    if (!sound)
      group.lose(header.from > 0 && header.from < kPlace.size ? header.from : 0, "it broke the protocol", wire);
    group.pump(wire);
    static_cast<void>(group.describe());
  }
  return 0;
}

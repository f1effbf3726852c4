// What other processes may say about references: each 2 bytes are who and what, and then come statements or answers as
// they lie in a message.  No order of them makes the books contradict each other or grow beyond what was said.

#include "core/worker/messages.h"
#include "objstore/logic/ownership.h"
#include "tests/fuzz/input.h"

using namespace mobula;
using namespace mobula::objstore;

namespace {

base::WorkerId self() { return base::WorkerId::from_words(9, 0, 0, 0); }
base::WorkerId worker(std::uint8_t n) { return base::WorkerId::from_words(n % 3u, 0, 0, 0); }  // Never this one.
base::ObjectId object(std::uint8_t n) { return base::ObjectId::from_words(n % 8u, 0, 0, 1); }
RefName name(std::uint8_t n) {
  const auto owner = static_cast<std::uint8_t>(n / 8);
  return {object(n), owner % 4 == 3 ? self() : worker(owner)};
}

OwnershipInput read_input(std::uint8_t from, std::uint8_t what, fuzz::Input& input) {
  switch (what % 7) {
    case 0: return Borrow{{name(from), name(what)}};
    case 1: return Drop{{name(from)}};
    case 2: return Await{what};
    case 3: return TakeOver{worker(from), what, {name(what)}};
    case 4: return PeerLost{worker(from), {name(what)}};
    case 5: {
      Told told{worker(from), {}};
      for (int n = what % 3; n >= 0; --n) {
        const auto wire = input.get<runtime::AnswerWire>();
        told.answers.push_back({wire.seq, wire.known != 0});
      }
      return told;
    }
    default: {
      Tell tell{worker(from), input.byte(), {}};
      for (int n = what % 3; n >= 0; --n) {
        const auto wire = input.get<runtime::StatementWire>();
        const auto verb = static_cast<Statement::Verb>(wire.verb % 3);
        tell.statements.push_back({wire.seq, verb, wire.reserved[0] % 2 == 0, wire.object, wire.handover});
      }
      return tell;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  OwnershipLimits limits;
  limits.window = 16;
  limits.statements_max = 4;
  limits.dead_max = 2;
  OwnershipMachine machine(self(), limits);
  base::Time now{};
  base::Outbox<OwnershipOutput> out;
  std::size_t said = 0;
  while (!input.empty()) {
    const std::uint8_t from = input.byte();
    const std::uint8_t what = input.byte();
    now += std::chrono::milliseconds(what);
    out.clear();
    machine.step(now, read_input(from, what, input), out);
    said += 3;
    if (const auto due = machine.next_deadline(); due && *due <= now) machine.tick(now, out);
    fuzz::require(machine.is_valid());
    for (const auto& output : out) {
      if (const auto* tell = std::get_if<Tell>(&output)) {
        fuzz::require(tell->peer != self() && tell->statements.size() <= limits.statements_max);
      }
    }
    const auto counts = machine.counts();
    fuzz::require(counts.claims <= 32 && counts.loans <= 3 * said && counts.waiting <= said);
  }
  return 0;
}

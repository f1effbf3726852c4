// What a caller sends as a call's arguments, and a worker as its results.
#include "core/worker/call_body.h"
#include "core/worker/local_object.h"
#include "tests/fuzz/input.h"

namespace {

using namespace mobula;
using fuzz::require;

bool is_inside(base::ConstBytes part, base::ConstBytes whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check(const runtime::DescribedValue& value, base::ConstBytes message) {
  require(is_inside(value.bytes, message));
  require(value.holders.size() <= value.head.holders);
  if (value.head.place == runtime::Place::kInline) {
    require(value.bytes.size() == value.head.size && runtime::is_well_framed(value.bytes));
  }
}

// Counts, then the body.
void read_call(fuzz::Input& in) {
  const auto arguments = in.get<std::uint32_t>();
  const auto argument_bytes = in.get<std::uint32_t>();
  const auto references = in.get<std::uint32_t>();
  const base::ConstBytes message = in.rest();
  runtime::CallBody body(message, arguments, argument_bytes, references);
  if (!body.plausible()) return;
  require(arguments <= message.size() && references <= message.size());
  std::size_t seen = 0;
  runtime::CallBody::Argument argument;
  for (std::uint32_t i = 0; i < arguments; ++i) {
    if (!body.next(argument)) return;
    if (argument.is_reference) {
      ++seen;
      check(argument.value, message);
    } else {
      require(is_inside(argument.bytes, message));
      require(argument.is_plain || runtime::is_well_framed(argument.bytes));
    }
  }
  require(seen <= references && body.complete() == (seen == references));
}

void read_results(fuzz::Input& in) {
  const base::ConstBytes message = in.rest();
  base::Cursor cursor(message);
  for (runtime::DescribedValue value; runtime::read_described(cursor, value);) check(value, message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input in(data, size);
  if (in.byte() % 2 == 0) {
    read_call(in);
  } else {
    read_results(in);
  }
  return 0;
}

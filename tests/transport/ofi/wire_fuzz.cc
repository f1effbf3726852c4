// What a peer may say over the channel of the ofi transport, and what its keys of memory may be.  The first byte
// says to which reader; keys get the hash that their bytes must have, which no input could guess.

#include "core/base/ids.h"
#include "tests/fuzz/input.h"
#include "transport/ofi/wire.h"

using namespace mobula;
using namespace mobula::transport::ofi;

namespace {

void read_hello(fuzz::Input& input) {
  const base::ConstBytes bytes = input.rest();
  const auto hello = decode_hello(bytes);
  if (!hello) return;
  fuzz::require(!hello->address.empty() && hello->address.size() <= kOfiAddressBytesMax);
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
  fuzz::require(key->base + key->size >= key->base);
  const base::Buffer again = encode(*key);
  fuzz::require(base::as_string_view(again.view()) == base::as_string_view(bytes.view()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  input.byte() % 2 == 0 ? read_hello(input) : read_key(input);
  return 0;
}

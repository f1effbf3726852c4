#include <cstdlib>

#include "core/base/error_info.h"

// What decodes must encode to the same bytes again: the form is canonical.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mobula::base;
  const ConstBytes bytes{reinterpret_cast<const std::byte*>(data), size};
  const auto info = decode_error_info(bytes);
  if (!info) return 0;
  Buffer again;
  encode(*info, again);
  if (as_string_view(again.view()) != as_string_view(bytes)) std::abort();
  return 0;
}

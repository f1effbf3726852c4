// What a value of the user's is made of: the bytes of an argument, a result or a saved state.  The first byte says in
// which form they come.  What decodes encodes to what decodes the same, and takes memory by what is there.

#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "core/worker/codec.h"
#include "core/worker/local_object.h"
#include "mobula/archive.h"
#include "mobula/array.h"
#include "mobula/errors.h"
#include "tests/fuzz/input.h"

using namespace mobula;

// As users name theirs: clang warns of types that only this file knows.
namespace travellers {

enum class Colour : std::uint8_t { kRed, kGreen };
struct Point {
  double x = 0;
  std::int32_t id = 0;
};
struct Record {
  std::string name;
  std::vector<Point> points;
  std::optional<std::map<std::string, std::vector<std::uint16_t>>> index;
  std::variant<std::int32_t, std::string, std::vector<std::string>> choice;
  std::tuple<bool, Colour, std::u16string> rest;
  std::unique_ptr<std::array<std::string, 2>> pair;
};
struct Hooked {
  std::deque<std::int64_t> numbers;
  std::set<std::string> words;
  std::vector<bool> bits;
  template <class Ar>
  void serialize(Ar& ar) {
    ar(numbers, words, bits);
  }
};

}  // namespace travellers

namespace {

using travellers::Hooked;
using Value = std::tuple<travellers::Record, std::vector<Hooked>, std::unordered_map<std::uint8_t, float>,
                         Array<std::int32_t, 2>>;

std::shared_ptr<std::byte> block_of(base::ConstBytes bytes) {
  constexpr std::align_val_t kAlign{runtime::kBufferAlign};
  std::shared_ptr<std::byte> block(static_cast<std::byte*>(::operator new(bytes.size() + 1, kAlign)),
                                   [](std::byte* p) { ::operator delete(p, kAlign); });
  if (!bytes.empty()) std::memcpy(block.get(), bytes.data(), bytes.size());
  return block;
}

std::string encoded(const Value& value) {
  runtime::Encoder out;
  detail::encode(out, value);
  const std::size_t size = out.payload_bytes();
  const auto block = block_of(base::as_bytes(std::string(size, '\0')));
  out.flatten(block.get());
  return {reinterpret_cast<const char*>(block.get()), size};
}

// Unordered containers and not-a-numbers aside, bytes say whether two values are the same; the sorted parts do.
void check_value(runtime::Decoder in) {
  const auto value = detail::decode<Value>(in);
  if (!in.ok()) return;
  const std::string bytes = encoded(value);
  fuzz::require(runtime::is_well_framed(base::as_bytes(bytes)));
  const auto block = block_of(base::as_bytes(bytes));
  auto again = runtime::Decoder::payload({{block.get(), bytes.size()}, block});
  const auto twice = detail::decode<Value>(again);
  fuzz::require(again.ok() && again.left() == 0 && encoded(twice).size() == bytes.size());
  fuzz::require(std::get<0>(twice).index == std::get<0>(value).index &&
                std::get<0>(twice).name == std::get<0>(value).name);
  fuzz::require(std::get<0>(twice).choice == std::get<0>(value).choice &&
                std::get<0>(twice).rest == std::get<0>(value).rest);
  fuzz::require(std::get<1>(twice).size() == std::get<1>(value).size() &&
                std::get<2>(twice).size() == std::get<2>(value).size());
  const auto &a = std::get<3>(value), &b = std::get<3>(twice);
  fuzz::require(std::ranges::equal(a.span(), b.span()));
}

// As load() of a user's class reads it.
void check_archive(base::ConstBytes bytes) {
  Archive in(bytes);
  Hooked hooked;
  std::string text;
  std::vector<double> weights;
  try {
    in(hooked, text, weights);
  } catch (const InvalidArgument&) {
    return;
  }
  base::Buffer again;
  Archive out(again);
  out(hooked, text, weights);
  Archive back(again.view());
  Hooked hooked_again;
  std::string text_again;
  std::vector<double> weights_again;
  back(hooked_again, text_again, weights_again);
  fuzz::require(hooked_again.numbers == hooked.numbers && hooked_again.words == hooked.words &&
                hooked_again.bits == hooked.bits && text_again == text && weights_again.size() == weights.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t form = input.byte();
  const base::ConstBytes bytes = input.rest();
  const auto block = block_of(bytes);
  const runtime::View view{{block.get(), bytes.size()}, block};
  switch (form % 3) {
    case 0: check_value(runtime::Decoder::plain(bytes)); break;
    case 1:
      if (runtime::is_well_framed(view.bytes)) check_value(runtime::Decoder::payload(view));
      static_cast<void>(runtime::Decoder::payload(view));
      break;
    case 2: check_archive(bytes); break;
  }
  return 0;
}

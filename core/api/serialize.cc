#include "mobula/serialize.h"

#include "core/api/runtime_access.h"
#include "mobula/array.h"

namespace mobula::detail {

namespace {
constexpr std::uint64_t kBeside = std::uint64_t{1} << 63;

bool fits_beside(const Encoder& out, std::size_t bytes) {
  return bytes >= runtime::kOutOfBandMin && out.header_bytes() < 8 + 8 * (runtime::kPayloadBuffersMax - 1);
}
}  // namespace

void encode_block(Encoder& out, const void* data, std::size_t bytes) {
  if (fits_beside(out, bytes)) {
    out.put(bytes | kBeside);
    out.buffer({static_cast<const std::byte*>(data), bytes});
  } else {
    out.put(static_cast<std::uint64_t>(bytes));
    out.raw(data, bytes);
  }
}

base::ConstBytes decode_block(Decoder& in, std::size_t unit) {
  const auto word = in.get<std::uint64_t>();
  const std::uint64_t bytes = word & ~kBeside;
  base::ConstBytes found = (word & kBeside) != 0 ? in.buffer() : in.take(bytes);
  if (!in.ok() || found.size() != bytes || bytes % unit != 0) {
    in.fail();
    return {};
  }
  return found;
}

std::size_t decode_count(Decoder& in) {
  const auto n = in.get<std::uint64_t>();
  if (!in.ok() || n > in.left()) {
    in.fail();
    return 0;
  }
  return n;
}

// ---- arrays: u8 rank, u8 form, u32 element bytes, rank x u64 extents, and inline the elements.

namespace {
enum Form : std::uint8_t { kInline = 0, kBuffer = 1 };

void put_shape(Encoder& out, Form form, std::span<const std::size_t> extents, std::size_t element_bytes) {
  out.put(static_cast<std::uint8_t>(extents.size()));
  out.put(form);
  out.put(static_cast<std::uint32_t>(element_bytes));
  for (const std::size_t extent : extents) out.put(static_cast<std::uint64_t>(extent));
}

// The bytes of an array; nullopt when they do not fit a size_t.
std::optional<std::size_t> bytes_of(std::span<const std::size_t> extents, std::size_t element_bytes) {
  std::size_t bytes = element_bytes;
  for (const std::size_t extent : extents) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

std::shared_ptr<std::byte> aligned_copy(base::ConstBytes from) {
  constexpr std::align_val_t kAlign{runtime::kBufferAlign};
  std::shared_ptr<std::byte> copy(new (kAlign) std::byte[from.size() + 1],
                                  [](std::byte* p) { operator delete[](p, kAlign); });
  if (!from.empty()) std::memcpy(copy.get(), from.data(), from.size());
  return copy;
}
}  // namespace

void encode_array(Encoder& out, std::span<const std::size_t> extents, std::size_t element_bytes,
                  const std::byte* contiguous) {
  const std::size_t bytes = bytes_of(extents, element_bytes).value_or(0);
  const bool beside = contiguous != nullptr && fits_beside(out, bytes);
  put_shape(out, beside ? kBuffer : kInline, extents, element_bytes);
  if (beside) {
    out.buffer({contiguous, bytes});
  } else if (contiguous != nullptr) {
    out.raw(contiguous, bytes);
  }
}

DecodedArray decode_array(Decoder& in, std::span<std::size_t> extents, std::size_t element_bytes) {
  const auto rank = in.get<std::uint8_t>();
  const auto form = in.get<std::uint8_t>();
  const auto size = in.get<std::uint32_t>();
  if (rank != extents.size() || size != element_bytes || form > kBuffer) in.fail();
  for (std::size_t& extent : extents) extent = in.get<std::uint64_t>();
  const std::optional<std::size_t> bytes = bytes_of(extents, element_bytes);
  base::ConstBytes found;
  if (in.ok() && bytes) found = form == kBuffer ? in.buffer() : in.take(*bytes);
  if (!in.ok() || !bytes || found.size() != *bytes) {
    in.fail();
    std::fill(extents.begin(), extents.end(), 0);
    return {};
  }
  const bool aligned = reinterpret_cast<std::uintptr_t>(found.data()) % runtime::kBufferAlign == 0;
  if (form == kBuffer && aligned && in.keep_alive() != nullptr) return {found.data(), in.keep_alive()};
  auto copy = aligned_copy(found);
  const std::byte* data = copy.get();
  return {data, std::move(copy)};
}

std::shared_ptr<ArrayMemory> allocate_array(std::span<const std::size_t> extents, std::size_t element_bytes) {
  const std::optional<std::size_t> bytes = bytes_of(extents, element_bytes);
  if (!bytes || *bytes > std::size_t{1} << 62) throw_invalid("alloc of more bytes than an address can tell");
  // The payload of codec.h with one buffer, laid out ahead of its data.
  Encoder shape;
  put_shape(shape, kBuffer, extents, element_bytes);
  shape.buffer({});
  const std::size_t at = runtime::align_up(shape.header_bytes() + shape.meta().size(), runtime::kBufferAlign);
  auto object = InSession()->allocate(at + *bytes);
  if (!object) throw_error(object.error());
  auto memory = std::make_shared<ArrayMemory>();
  memory->writable = std::move(*object);
  std::byte* to = memory->writable->bytes().data();
  shape.flatten(to);
  const std::uint64_t size = *bytes;
  std::memcpy(to + 8, &size, sizeof size);
  memory->data = to + at;
  return memory;
}

ObjectRef seal_array(ArrayMemory& memory) {
  memory.sealed = InSession()->seal(std::move(memory.writable));
  return memory.sealed;
}

void throw_not_writable() {
  throw_invalid("this Array cannot be written: it is sealed, or a view of an object",
                "write to an Array from alloc() before it is sealed, or copy this one");
}
void throw_not_contiguous() {
  throw_invalid("span() of an Array whose elements do not follow one another",
                "read it with operator(), or slice along the first dimension only");
}

}  // namespace mobula::detail

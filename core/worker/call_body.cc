#include "core/worker/call_body.h"

#include "core/worker/local_object.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {
namespace {

using base::ConstBytes;

// What each takes at least: counts beyond that are lies.
constexpr std::size_t kArgumentBytesMin = 5;
constexpr std::size_t kReferenceBytesMin = 40;

ConstBytes first(ConstBytes bytes, std::size_t n) { return n <= bytes.size() ? bytes.first(n) : ConstBytes{}; }
ConstBytes after(ConstBytes bytes, std::size_t n) { return n <= bytes.size() ? bytes.subspan(n) : ConstBytes{}; }

}  // namespace

bool read_described(base::Cursor& in, DescribedValue& value) {
  value.bytes = {};
  value.holders.clear();
  value.head = in.get<Returned>();
  if (value.head.place == Place::kInline) {
    value.bytes = in.take(value.head.size);
    return in.ok() && is_well_framed(value.bytes);
  }
  if (value.head.place != Place::kStore) in.fail();
  for (std::uint8_t i = 0; i < value.head.holders; ++i) value.holders.push_back(in.get<base::NodeId>());
  return in.ok();
}

CallBody::CallBody(ConstBytes message, std::size_t arguments, std::size_t argument_bytes, std::size_t references)
    : plausible_(argument_bytes <= message.size() && arguments <= argument_bytes / kArgumentBytesMin &&
                 references <= message.size() / kReferenceBytesMin),
      references_(references),
      in_(first(message, argument_bytes)),
      tail_(after(message, argument_bytes)) {}

bool CallBody::next(Argument& out) {
  const auto kind = in_.get<std::uint8_t>();
  const auto n = in_.get<std::uint32_t>();
  out.is_reference = kind == Arguments::kRef;
  out.is_plain = kind == Arguments::kPlain;
  if (out.is_reference) return in_.ok() && n == used_ && used_ != references_ && read_reference(out);
  out.bytes = in_.take(n);
  if (!in_.ok() || kind > Arguments::kPayload) return false;
  return out.is_plain || is_well_framed(out.bytes);
}

bool CallBody::read_reference(Argument& out) {
  out.converter = tail_.get<std::uint64_t>();
  out.object = tail_.get<base::ObjectId>();
  if (!read_described(tail_, out.value)) return false;
  auto owner = decode_address(tail_);
  if (!owner) return false;
  out.owner = std::move(*owner);
  ++used_;
  return true;
}

}  // namespace mobula::runtime

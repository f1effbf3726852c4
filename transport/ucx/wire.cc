#include "transport/ucx/wire.h"

#include "core/base/ids.h"

namespace mobula::transport::ucx {
namespace {

constexpr std::uint32_t kHelloMagic = 0x7863'756d;  // "mucx"

}  // namespace

base::Buffer encode(const Hello& hello) {
  base::Buffer out;
  out.put(kHelloMagic);
  out.put(kWireVersion);
  out.put(hello.instance);
  out.put(hello.cookie);
  out.put(hello.slot);
  out.put(hello.window_bytes);
  out.put_string(hello.address);
  return out;
}

Result<Hello> decode_hello(ConstBytes bytes) {
  base::Cursor in(bytes);
  if (in.get<std::uint32_t>() != kHelloMagic) {
    return base::Error{base::Code::kInvalid, "the peer does not speak the UCX transport's protocol"};
  }
  const auto version = in.get<std::uint16_t>();
  if (version != kWireVersion) {
    return base::Error{base::Code::kInvalid, "the peer speaks version " + std::to_string(version) +
                                                 " of the UCX transport, we speak " + std::to_string(kWireVersion)};
  }
  Hello hello;
  hello.instance = in.get<std::uint64_t>();
  hello.cookie = in.get<std::uint64_t>();
  hello.slot = in.get<std::uint32_t>();
  hello.window_bytes = in.get<std::uint64_t>();
  hello.address = std::string(in.get_string());
  if (!in.ok() || in.left() != 0 || hello.address.empty() || hello.address.size() > kUcxAddressBytesMax) {
    return base::Error{base::Code::kInvalid, "the peer's greeting over the UCX transport is malformed"};
  }
  return hello;
}

base::Buffer encode(const RegionKey& key) {
  base::Buffer out;
  out.put(key.region);
  out.put(key.cookie);
  out.put(key.base);
  out.put(key.size);
  out.append(key.rkey);
  out.put(base::hash64(base::as_string_view(out.view())));
  return out;
}

std::optional<RegionKey> decode_region_key(ConstBytes bytes) {
  constexpr std::size_t kHashBytes = sizeof(std::uint64_t);
  if (bytes.size() > kRegionKeyBytesMax || bytes.size() < kHashBytes) return std::nullopt;
  const ConstBytes body = bytes.first(bytes.size() - kHashBytes);
  const auto hash = read_exactly<std::uint64_t>(bytes.last(kHashBytes));
  if (*hash != base::hash64(base::as_string_view(body))) return std::nullopt;
  base::Cursor in(body);
  RegionKey key;
  key.region = in.get<std::uint64_t>();
  key.cookie = in.get<std::uint64_t>();
  key.base = in.get<std::uint64_t>();
  key.size = in.get<std::uint64_t>();
  key.rkey = in.take(in.left());
  if (!in.ok() || key.base + key.size < key.base) return std::nullopt;
  return key;
}

}  // namespace mobula::transport::ucx

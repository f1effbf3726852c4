#include "transport/ofi/wire.h"

#include "core/base/ids.h"

namespace mobula::transport::ofi {
namespace {

constexpr std::uint32_t kHelloMagic = 0x6966'6f6d;   // "mofi"
constexpr std::uint32_t kRegionMagic = 0x6b66'6f6d;  // "mofk"
constexpr std::size_t kProviderBytesMax = 64;

}  // namespace

base::Buffer encode(const Hello& hello) {
  base::Buffer out;
  out.put(kHelloMagic);
  out.put(kWireVersion);
  out.put(hello.cookie);
  out.put(hello.slot);
  out.put_string(hello.provider);
  out.put_string(hello.address);
  return out;
}

Result<Hello> decode_hello(ConstBytes bytes) {
  base::Cursor in(bytes);
  if (in.get<std::uint32_t>() != kHelloMagic) {
    return base::Error{base::Code::kInvalid, "the peer does not speak the ofi transport's protocol"};
  }
  const auto version = in.get<std::uint16_t>();
  if (version != kWireVersion) {
    return base::Error{base::Code::kInvalid, "the peer speaks version " + std::to_string(version) +
                                                 " of the ofi transport, we speak " + std::to_string(kWireVersion)};
  }
  Hello hello;
  hello.cookie = in.get<std::uint64_t>();
  hello.slot = in.get<std::uint32_t>();
  hello.provider = std::string(in.get_string());
  hello.address = std::string(in.get_string());
  if (!in.ok() || in.left() != 0 || hello.provider.size() > kProviderBytesMax || hello.address.empty() ||
      hello.address.size() > kOfiAddressBytesMax) {
    return base::Error{base::Code::kInvalid, "the peer's greeting over the ofi transport is malformed"};
  }
  return hello;
}

base::Buffer encode(const RegionKey& key) {
  base::Buffer out;
  out.put(kRegionMagic);
  out.put(key.base);
  out.put(key.size);
  out.put(key.key);
  out.put(base::hash64(base::as_string_view(out.view())));
  return out;
}

std::optional<RegionKey> decode_region_key(ConstBytes bytes) {
  constexpr std::size_t kHashBytes = sizeof(std::uint64_t);
  if (bytes.size() != sizeof kRegionMagic + sizeof(RegionKey) + kHashBytes) return std::nullopt;
  const ConstBytes body = bytes.first(bytes.size() - kHashBytes);
  const auto hash = read_exactly<std::uint64_t>(bytes.last(kHashBytes));
  if (*hash != base::hash64(base::as_string_view(body))) return std::nullopt;
  base::Cursor in(body);
  if (in.get<std::uint32_t>() != kRegionMagic) return std::nullopt;
  RegionKey key;
  key.base = in.get<std::uint64_t>();
  key.size = in.get<std::uint64_t>();
  key.key = in.get<std::uint64_t>();
  if (!in.ok() || key.base + key.size < key.base) return std::nullopt;
  return key;
}

}  // namespace mobula::transport::ofi

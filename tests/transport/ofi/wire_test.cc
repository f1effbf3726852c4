#include "transport/ofi/wire.h"

#include <gtest/gtest.h>

namespace mobula::transport::ofi {
namespace {

Hello example_hello() {
  Hello hello;
  hello.cookie = 2;
  hello.slot = 3;
  hello.provider = "tcp;ofi_rxm";
  hello.address = "where libfabric listens";
  return hello;
}

TEST(OfiWire, AHelloSurvivesTheWire) {
  const auto out = decode_hello(encode(example_hello()).view());
  ASSERT_TRUE(out.ok()) << out.error().what;
  EXPECT_EQ(out->cookie, 2u);
  EXPECT_EQ(out->slot, 3u);
  EXPECT_EQ(out->provider, "tcp;ofi_rxm");
  EXPECT_EQ(out->address, "where libfabric listens");
}

TEST(OfiWire, APartOfAHelloIsNone) {
  const base::Buffer whole = encode(example_hello());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_hello(whole.view().first(size)).ok()) << size;
  }
  base::Buffer longer = encode(example_hello());
  longer.put('x');
  EXPECT_FALSE(decode_hello(longer.view()).ok());
}

TEST(OfiWire, AnAddressHasALimit) {
  Hello hello = example_hello();
  hello.address.assign(kOfiAddressBytesMax + 1, 'x');
  EXPECT_FALSE(decode_hello(encode(hello).view()).ok());
  hello.address.clear();
  EXPECT_FALSE(decode_hello(encode(hello).view()).ok());
}

TEST(OfiWire, AKeySurvivesTheWireAndNoChangedOneIsTaken) {
  const base::Buffer bytes = encode(RegionKey{1, 2, 3});
  const auto key = decode_region_key(bytes.view());
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->base, 1u);
  EXPECT_EQ(key->size, 2u);
  EXPECT_EQ(key->key, 3u);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed(base::as_string_view(bytes.view()));
    changed[i] = static_cast<char>(changed[i] + 1);
    EXPECT_FALSE(decode_region_key(base::as_bytes(changed)).has_value()) << i;
    EXPECT_FALSE(decode_region_key(bytes.view().first(i)).has_value()) << i;
  }
}

TEST(OfiWire, AKeyWhoseRegionWrapsIsNone) {
  EXPECT_FALSE(decode_region_key(encode(RegionKey{~std::uint64_t{0}, 2, 0}).view()).has_value());
}

}  // namespace
}  // namespace mobula::transport::ofi

#include "transport/ucx/wire.h"

#include <gtest/gtest.h>

namespace mobula::transport::ucx {
namespace {

Hello example_hello() {
  Hello hello;
  hello.instance = 1;
  hello.cookie = 2;
  hello.slot = 3;
  hello.window_bytes = 4;
  hello.address = "where UCX listens";
  return hello;
}

TEST(UcxWire, AHelloSurvivesTheWire) {
  const auto out = decode_hello(encode(example_hello()).view());
  ASSERT_TRUE(out.ok()) << out.error().what;
  EXPECT_EQ(out->instance, 1u);
  EXPECT_EQ(out->cookie, 2u);
  EXPECT_EQ(out->slot, 3u);
  EXPECT_EQ(out->window_bytes, 4u);
  EXPECT_EQ(out->address, "where UCX listens");
}

TEST(UcxWire, APartOfAHelloIsNone) {
  const base::Buffer whole = encode(example_hello());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_hello(whole.view().first(size)).ok()) << size;
  }
  base::Buffer longer = encode(example_hello());
  longer.put('x');
  EXPECT_FALSE(decode_hello(longer.view()).ok());
}

TEST(UcxWire, AnAddressHasALimit) {
  Hello hello = example_hello();
  hello.address.assign(kUcxAddressBytesMax + 1, 'x');
  EXPECT_FALSE(decode_hello(encode(hello).view()).ok());
  hello.address.clear();
  EXPECT_FALSE(decode_hello(encode(hello).view()).ok());
}

TEST(UcxWire, AKeySurvivesTheWireAndNoChangedOneIsTaken) {
  const std::string rkey = "UCX's part";
  const base::Buffer bytes = encode(RegionKey{1, 2, 3, 4, base::as_bytes(rkey)});
  const auto key = decode_region_key(bytes.view());
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->size, 4u);
  EXPECT_EQ(base::as_string_view(key->rkey), rkey);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed(base::as_string_view(bytes.view()));
    changed[i] = static_cast<char>(changed[i] + 1);
    EXPECT_FALSE(decode_region_key(base::as_bytes(changed)).has_value()) << i;
    EXPECT_FALSE(decode_region_key(bytes.view().first(i)).has_value()) << i;
  }
}

TEST(UcxWire, AKeyWhoseRegionWrapsIsNone) {
  EXPECT_FALSE(decode_region_key(encode(RegionKey{1, 2, ~std::uint64_t{0}, 2, {}}).view()).has_value());
}

}  // namespace
}  // namespace mobula::transport::ucx

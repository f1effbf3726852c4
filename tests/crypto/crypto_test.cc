#include <string>

#include <gtest/gtest.h>

#include "core/crypto/frame_seal.h"
#include "core/crypto/key_agreement.h"
#include "core/crypto/mac.h"
#include "core/crypto/sealed_message.h"

namespace mobula::crypto {
namespace {

std::string hex(base::ConstBytes bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += "0123456789abcdef"[static_cast<unsigned>(b) >> 4];
    out += "0123456789abcdef"[static_cast<unsigned>(b) & 15];
  }
  return out;
}

Key counting() {
  Key key{};
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(i);
  return key;
}

// RFC 4231 test case 2 and RFC 5869 test case 1 are of other key sizes than ours; these values were made with
// Python's hmac and hashlib.
TEST(Mac, is_that_of_the_standard) {
  const Key key = counting();
  EXPECT_EQ(hex(hmac_sha256(key, "label", base::as_bytes("abc"), base::as_bytes("def"))),
            "51c89222eac0bd6891ee8ce36125c5ffb391959a6f1ab0020fd9511ed911427b");
  EXPECT_EQ(hex(hkdf_sha256(key, base::as_bytes("salt"), "info", base::as_bytes("ctx"))),
            "e6ea6db7fe2460b5b62b155f4dfa3631e0e5b5d8da810237b57ceb254ff4ac45");
  EXPECT_EQ(hex(hkdf_sha256(key, {}, "info", {})), "46a2fae4f28eb43815e3e9d88c727e841827fe1941b6c763a3efd7c72b99136c");
}

TEST(FrameSeal, covers_header_payload_and_order) {
  const Key key{};
  FrameSeal a(key);
  FrameSeal b(key);
  const auto first = a.next(base::as_bytes("head"), base::as_bytes("body"));
  EXPECT_EQ(first, b.next(base::as_bytes("head"), base::as_bytes("body")));
  EXPECT_NE(a.next(base::as_bytes("head"), base::as_bytes("body")), first) << "the frame's number counts";
  EXPECT_NE(b.next(base::as_bytes("head"), base::as_bytes("bodY")), first);
}

TEST(KeyAgreement, gives_both_ends_one_value_that_a_third_has_not) {
  const KeyAgreement a, b, third;
  EXPECT_EQ(*a.shared_with(b.public_key()), *b.shared_with(a.public_key()));
  EXPECT_NE(*a.shared_with(b.public_key()), *third.shared_with(b.public_key()));
  EXPECT_NE(*a.shared_with(b.public_key()), *third.shared_with(a.public_key()));
  EXPECT_NE(a.public_key(), b.public_key());
}

TEST(KeyAgreement, refuses_public_keys_that_give_everybody_the_same_value) {
  PublicKey one{};
  one[0] = std::byte{1};
  for (const PublicKey& weak : {PublicKey{}, one}) {
    const auto shared = KeyAgreement().shared_with(weak);
    ASSERT_FALSE(shared);
    EXPECT_EQ(shared.error().code, base::Code::kDenied);
  }
}

// Made with Python's cryptography (AESGCM, a nonce of zeros).
TEST(SealedMessage, is_that_of_the_standard) {
  EXPECT_EQ(hex(base::as_bytes(seal_message(counting(), base::as_bytes("about"), "message"))),
            "63d9c6add44be62863e04146a6fe6573e7f6050550af6a");
}

TEST(SealedMessage, opens_only_whole_under_its_key_and_about_the_same) {
  const auto about = base::as_bytes("about");
  const std::string sealed = seal_message(counting(), about, "message");
  EXPECT_EQ(sealed.find("message"), std::string::npos);
  EXPECT_EQ(*open_sealed(counting(), about, sealed), "message");
  EXPECT_EQ(*open_sealed(counting(), {}, seal_message(counting(), {}, "")), "");
  EXPECT_FALSE(open_sealed(Key{}, about, sealed));
  EXPECT_FALSE(open_sealed(counting(), base::as_bytes("other"), sealed));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(open_sealed(counting(), about, changed)) << i;
    EXPECT_FALSE(open_sealed(counting(), about, sealed.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace mobula::crypto

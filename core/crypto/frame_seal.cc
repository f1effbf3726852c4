#include "core/crypto/frame_seal.h"

#include <cstring>

#include <openssl/evp.h>

#include "core/crypto/openssl.h"

namespace mobula::crypto {

struct FrameSeal::Cipher {
  EVP_CIPHER_CTX* ctx = EVP_CIPHER_CTX_new();
  ~Cipher() { EVP_CIPHER_CTX_free(ctx); }
};

FrameSeal::FrameSeal(const Key& key) : cipher_(std::make_unique<Cipher>()) {
  require(cipher_->ctx != nullptr &&
              EVP_EncryptInit_ex(cipher_->ctx, EVP_aes_256_gcm(), nullptr, raw(base::ConstBytes(key)), nullptr) == 1,
          "AES-256-GCM");
}
FrameSeal::~FrameSeal() = default;

Tag FrameSeal::next(base::ConstBytes header, base::ConstBytes payload) {
  std::array<unsigned char, 12> nonce{};
  std::memcpy(nonce.data(), &frame_, sizeof frame_);
  ++frame_;
  int ignored = 0;
  Tag tag{};
  unsigned char none[16];
  const auto add = [&](base::ConstBytes b) {
    return b.empty() || EVP_EncryptUpdate(cipher_->ctx, nullptr, &ignored, raw(b), static_cast<int>(b.size())) == 1;
  };
  const bool ok =
      EVP_EncryptInit_ex(cipher_->ctx, nullptr, nullptr, nullptr, nonce.data()) == 1 && add(header) && add(payload) &&
      EVP_EncryptFinal_ex(cipher_->ctx, none, &ignored) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher_->ctx, EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1;
  require(ok, "AES-256-GMAC");
  return tag;
}

}  // namespace mobula::crypto
